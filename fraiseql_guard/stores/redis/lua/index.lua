-- Write notes to an index, or remove them. Notes expire with their sanctions or limits, and the index with its last note.
-- Expired notes are removed a few at a time: a thousand that end at once must not hold up all other calls.
--
-- KEYS[1]  the index: a sorted set of notes by the end of what they note
-- ARGV     length in us (0 removes), then the notes

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local length = tonumber(ARGV[1])
for _, note in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0, 64)) do
  redis.call('ZREM', KEYS[1], note)
end
for i = 2, #ARGV do
  if length > 0 then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + length), ARGV[i])
  else
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
if length > 0 and redis.call('PTTL', KEYS[1]) < length / 1000 then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.ceil(length / 1000)))
end
return 1
