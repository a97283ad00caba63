-- Override a subject's limits for a while, beginning with full buckets; or end that.
--
-- KEYS[1]  the override's key, l<member>: every key below begins as it does, up to the hash tag (admit.lua)
-- ARGV     length in ms (0 ends it), what the key is to hold (admit.lua), names of its buckets, if it has any to be filled
--
-- Reply    1 if there was one before, else 0

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
