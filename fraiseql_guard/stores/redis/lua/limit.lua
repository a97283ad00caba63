-- Override a subject's limits for a while, beginning with full buckets; or end the override.
--
-- KEYS[1]  the override's key, l<member>: every key below begins like it, up to the hash tag (admit.lua)
-- ARGV     length in ms (0 ends the override), the new value of the key (admit.lua), names of the buckets to fill
--
-- Reply    1 if there was an override before, else 0

local existed = redis.call('EXISTS', KEYS[1])
for i = 3, #ARGV do
  redis.call('DEL', string.match(KEYS[1], '^.-}:') .. 'b:' .. ARGV[i])
end
if tonumber(ARGV[1]) > 0 then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
else
  redis.call('DEL', KEYS[1])
end
return existed
