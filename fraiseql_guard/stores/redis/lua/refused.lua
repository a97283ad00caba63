-- Note which callers were refused for which documents (stores/refused_documents.py).
--
-- KEYS[1]  hash: document -> 'us caller' for each caller of the window, or 'us told' once it was reported. Beside it
--          KEYS[1]:seen, zset: document -> the moment, in us, of its last refusal. Both expire a window after the last
--          refusal of any document.
-- ARGV     window in seconds, distinct callers that are enough, most documents, then for each refusal: document, caller
--
-- Returns the documents that have reached the number of callers. The worker that gets them tells all others: such a
-- document is not counted for a window.

local key, seen = KEYS[1], KEYS[1] .. ':seen'
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local since = now - ARGV[1] * 1000000
local enough, most = tonumber(ARGV[2]), tonumber(ARGV[3])

local reached = {}
for i = 4, #ARGV, 2 do
  local document, caller = ARGV[i], ARGV[i + 1]
  local held = redis.call('HGET', key, document) or ''
  local told = tonumber(string.match(held, '^(%d+) told$') or 0)
  local callers = { string.format('%.0f ', now) .. caller }
  for at, other in string.gmatch(held, '(%d+) (%x+)') do
    if other ~= caller and tonumber(at) > since then
      callers[#callers + 1] = at .. ' ' .. other
    end
  end
  if told <= since then
    held = table.concat(callers, ' ')
    if #callers >= enough then
      reached[#reached + 1] = document
      held = string.format('%.0f told', now)
    end
    redis.call('HSET', key, document, held)
    redis.call('ZADD', seen, string.format('%.0f', now), document)
  end
end
local excess = math.min(redis.call('ZCARD', seen) - most, 64 + #ARGV) -- faster than new ones come, and never all at once
if excess > 0 then
  for _, document in ipairs(redis.call('ZRANGE', seen, 0, excess - 1)) do
    redis.call('HDEL', key, document)
    redis.call('ZREM', seen, document)
  end
end
redis.call('EXPIRE', key, ARGV[1])
redis.call('EXPIRE', seen, ARGV[1])
return reached
