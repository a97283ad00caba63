-- Bring a sanction into force, for enforcing and for monitoring processes alike. It replaces an earlier one of its policy.
--
-- KEYS[1]  the subject's sanctions; all keys below begin like it (admit.lua)
-- ARGV     the subject's member of its group or '', policy, length in us, reason

local base = string.match(KEYS[1], '^.-}:')
local time = redis.call('TIME')
local length = tonumber(ARGV[3])
local expires = string.format('%.0f ', time[1] * 1000000 + time[2] + length)
for _, mode in ipairs({ '', 'm:' }) do
  local key = base .. mode .. 's' .. ARGV[1]
  redis.call('HSET', key, ARGV[2], expires .. ARGV[4])
  if redis.call('PTTL', key) < length / 1000 then
    redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(length / 1000)))
  end
end
return 1
