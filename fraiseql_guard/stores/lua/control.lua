-- The control set: read it if it has changed, tell it something, take something back (stores/control.py).
--
-- KEYS[1]  hash: '#' -> version, then for each entry: its name -> 'expires in us, value'. It expires with its last entry,
--          at the latest a year after the last change, so that nothing stays for ever.
-- ARGV     'read', version that the caller knows: {version} if it is still that, else {version, then for each entry:
--              name, us left, value}
--          'tell', name, length in us, value: {version}
--          'untell', name: {1 if it was in force, else 0}
--
-- A set that was lost (FLUSHALL, a restart without persistence) has version 0, which differs from what was known.

local key, what = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function entries(visit)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    if fields[i] ~= '#' then
      local expires, value = string.match(fields[i + 1], '^(%d+) (.*)$')
      visit(fields[i], tonumber(expires), value)
    end
  end
end

if what == 'read' then
  local version = redis.call('HGET', key, '#') or '0'
  local reply = { version }
  if version ~= ARGV[2] then
    entries(function(name, expires, value)
      if expires > now then
        reply[#reply + 1] = name
        reply[#reply + 1] = expires - now
        reply[#reply + 1] = value
      end
    end)
  end
  return reply
end

local latest = now
local expired, existed = {}, 0
entries(function(name, expires)
  if expires <= now then
    expired[#expired + 1] = name
  elseif name == ARGV[2] then
    existed = 1
  else
    latest = math.max(latest, expires)
  end
end)
if #expired > 0 then
  redis.call('HDEL', key, unpack(expired))
end

if what == 'tell' then
  local expires = now + ARGV[3]
  latest = math.max(latest, expires)
  redis.call('HSET', key, ARGV[2], string.format('%.0f ', expires) .. ARGV[4])
else
  redis.call('HDEL', key, ARGV[2])
end
-- A version never comes again, also not after the set was lost: it continues from the clock.
local version = math.max(tonumber(redis.call('HGET', key, '#') or 0) + 1, now)
redis.call('HSET', key, '#', string.format('%.0f', version))
redis.call('PEXPIRE', key, string.format('%.0f', math.max(60000, math.ceil((latest - now) / 1000))))
return { what == 'tell' and string.format('%.0f', version) or existed }
