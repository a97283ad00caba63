-- Change buckets after their request was admitted: give tokens back, take what it has cost more, or only look.
--
-- KEYS[1]  the first bucket's key, b:<bucket> (admit.lua): every key below begins as it does, up to the hash tag
-- ARGV     for each charge: bucket, capacity, tokens per window, window in seconds, and tokens (negative: give back,
--          positive: take, 0: only look)
--
-- Reply    for each charge: what remains in its bucket, in millionths of a token
--
-- Tokens that are given back fill a bucket at most, tokens that are taken empty it at most: nothing is refused here,
-- and no sanction is asked for. A look writes nothing.

local base = string.match(KEYS[1], '^.-}:')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local reply = {}

for i = 1, #ARGV, 5 do
  local key, capacity = base .. 'b:' .. ARGV[i], tonumber(ARGV[i + 1])
  local rate, tokens = ARGV[i + 2] / ARGV[i + 3] / 1000000, tonumber(ARGV[i + 4])
  local held, since = string.match(redis.call('GET', key) or '', '^(%S+) (%d+)$')
  local used = held and math.max(0, held - math.max(0, now - since) * rate) or 0
  -- A limit that was raised meanwhile may have let more be used than this capacity: that stays in use.
  if tokens > 0 then
    used = math.max(used, math.min(used + tokens, capacity))
  else
    used = math.max(0, used + tokens)
  end
  if tokens ~= 0 and used > 0 then
    local lives = math.max(1, math.ceil(used / rate / 1000), redis.call('PTTL', key))
    redis.call('SET', key, string.format('%.17g %.0f', used, now), 'PX', string.format('%.0f', lives))
  elseif tokens ~= 0 and held then
    redis.call('DEL', key)
  end
  reply[#reply + 1] = math.max(0, math.floor((capacity - used) * 1000000))
end
return reply
