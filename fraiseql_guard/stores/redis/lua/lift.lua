-- End sanctions of a subject and forget its offences. Returns how many sanctions that bound it were in force.
--
-- KEYS[1]  the subject's sanctions; all keys below begin like it (admit.lua)
-- ARGV     the subject's member of its group or '', then the policies

local base, member = string.match(KEYS[1], '^.-}:'), ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ended = 0

-- The automatic sanctions that stay in force decide whether the network still counts towards its group.
local function leave_group(keys)
  if member == '' then
    redis.call('DEL', keys .. 'g')
    return
  end
  local latest = 0
  local fields = redis.call('HGETALL', keys .. 's' .. member)
  for i = 1, #fields, 2 do
    if fields[i] ~= 'operator' then
      latest = math.max(latest, tonumber(string.match(fields[i + 1], '^%d+') or 0))
    end
  end
  if latest <= now then
    redis.call('ZREM', keys .. 'g', member)
  end
end

for _, mode in ipairs({ '', 'm:' }) do
  local keys = base .. mode
  for i = 2, #ARGV do
    local policy = ARGV[i]
    local held = redis.call('HGET', keys .. 's' .. member, policy)
    if held then
      redis.call('HDEL', keys .. 's' .. member, policy)
      if mode == '' and tonumber(string.match(held, '^%d+')) > now then
        ended = ended + 1
      end
    end
    -- One by one: a node that a slot is being moved to refuses commands for several keys.
    redis.call('DEL', keys .. 'o:' .. policy .. ':' .. member)
    redis.call('DEL', keys .. 'r:' .. policy .. ':' .. member)
  end
  leave_group(keys)
end
return ended
