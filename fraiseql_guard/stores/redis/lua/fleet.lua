-- The living workers and their payloads (stores/fleet.py).
--
-- KEYS[1]  zset: worker -> the moment, in us, until which it is alive; beside it KEYS[1]:said, hash: worker -> payload
-- ARGV     'beat', worker, time to live in us (0: the worker ends), payload: number of living workers
--          'read': for each living worker its id and its payload; '' for a payload that is too long to be the guard's
--
-- Two keys, so that a beat of one worker does not carry the payloads of all others through the script.

local MOST, LONGEST = 1000, 65536
local alive, said = KEYS[1], KEYS[1] .. ':said'
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

if ARGV[1] == 'read' then
  local reply = {}
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', alive, string.format('(%.0f', now), '+inf', 'LIMIT', 0, MOST)) do
    local payload = redis.call('HGET', said, worker)
    if payload then
      reply[#reply + 1] = worker
      reply[#reply + 1] = #payload > LONGEST and '' or payload
    end
  end
  return reply
end

local length = tonumber(ARGV[3])
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', string.format('%.0f', now), 'LIMIT', 0, 64)) do
  redis.call('ZREM', alive, worker)
  redis.call('HDEL', said, worker)
end
if length > 0 then
  redis.call('ZADD', alive, string.format('%.0f', now + length), ARGV[2])
  redis.call('HSET', said, ARGV[2], ARGV[4])
  for _, key in ipairs({ alive, said }) do
    if redis.call('PTTL', key) < length / 1000 then
      redis.call('PEXPIRE', key, string.format('%.0f', math.ceil(length / 1000)))
    end
  end
else
  redis.call('ZREM', alive, ARGV[2])
  redis.call('HDEL', said, ARGV[2])
end
return redis.call('ZCARD', alive)
