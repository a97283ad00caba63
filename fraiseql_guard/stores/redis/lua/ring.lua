-- Put records into a ring: a list of bounded length, the newest first, that ends some time after its last record.
--
-- KEYS[1]  list
-- ARGV     most records, seconds to live, then the records in the order in which they happened

for i = 3, #ARGV do
  redis.call('LPUSH', KEYS[1], ARGV[i])
end
redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
