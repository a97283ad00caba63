-- Note a sanction among those of the last minute (stores/recent_sanctions.py). Old marks are removed a few at a time.
--
-- KEYS[1]  sorted set: mark -> the moment, in us; read by overrides.lua
-- ARGV     mark, most marks to keep, us for which a mark is kept

local key = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function remove(marks)
  for _, mark in ipairs(marks) do
    redis.call('ZREM', key, mark)
  end
end

redis.call('ZADD', key, string.format('%.0f', now), ARGV[1])
remove(redis.call('ZRANGEBYSCORE', key, '-inf', string.format('%.0f', now - ARGV[3]), 'LIMIT', 0, 64))
local over = redis.call('ZCARD', key) - ARGV[2]
if over > 0 then
  remove(redis.call('ZRANGE', key, 0, math.min(over, 64) - 1))
end
redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(ARGV[3] / 1000)))
return 1
