-- Bring a sanction into force, for enforcing and for monitoring processes alike, in place of one of the same policy.
--
-- KEYS[1]  prefix of all keys of the subject (admit.lua)
-- ARGV     member of its group or '', policy, length in us, reason

local time = redis.call('TIME')
local length = tonumber(ARGV[3])
local expires = string.format('%.0f ', time[1] * 1000000 + time[2] + length)
for _, mode in ipairs({ '', 'm:' }) do
  local key = KEYS[1] .. mode .. 's' .. ARGV[1]
  redis.call('HSET', key, ARGV[2], expires .. ARGV[4])
  if redis.call('PTTL', key) < length / 1000 then
    redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(length / 1000)))
  end
end
return 1
