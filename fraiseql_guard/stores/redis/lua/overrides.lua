-- The overrides: read them if they have changed, put one, delete one (stores/overrides.py).
--
-- KEYS[1]  hash: '#' -> version, then for each entry: its name -> 'expires in us, value'. It expires with its last
--          entry, at the latest a year after the last change. Beside it KEYS[1]:recent (recent.lua)
-- ARGV     'read', the version that the caller knows: {version} if that is the current one, else {version, then for
--              each entry: name, us left (-1 if other software wrote it), value}
--          'look', version, a moment in us: as 'read', with two more values behind the version: the moment of this look,
--              and the marks of sanctions since the given moment, which if negative is so many us ago
--          'put', name, length in us, value: {version}
--          'delete', name: {1 if it was in force, else 0}
--
-- A set that was lost (FLUSHALL, a restart without persistence) has version 0, which differs from every known version.

local key, what = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local LONGEST_VALUE = 65536
local strange = {} -- names of entries that other software wrote: they are not read, and stay

local function version_of(text) -- a version of other software is read as '1', so that the set is read once
  return text and (string.match(text, '^%d+$') and #text < 18 and text or '1') or '0'
end

local function entries(visit)
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    if fields[i] ~= '#' then
      local expires, value = string.match(fields[i + 1], '^(%d+) (.*)$')
      if expires and #expires < 18 and #value <= LONGEST_VALUE and #fields[i] <= LONGEST_VALUE then
        visit(fields[i], tonumber(expires), value)
      else
        strange[#strange + 1] = string.sub(fields[i], 1, 256)
      end
    end
  end
end

local MOST_MARKS, LONGEST_MARK, KEPT = 1000, 256, 60000000
local function marks_since(moment)
  if moment < 0 then
    moment = now + moment
  elseif moment > now then -- it comes from a server whose clock was ahead
    moment = now - 1000000
  end
  moment = math.max(moment, now - KEPT)
  -- pcall: a key of a wrong type has no marks, and must not keep the overrides from being read.
  local found = redis.pcall(
    'ZRANGEBYSCORE', key .. ':recent', string.format('(%.0f', moment), '+inf', 'LIMIT', 0, MOST_MARKS)
  local marks = {}
  for _, mark in ipairs(found.err and {} or found) do
    marks[#marks + 1] = #mark <= LONGEST_MARK and mark or nil
  end
  return marks
end

if what == 'read' or what == 'look' then
  local version = version_of(redis.call('HGET', key, '#'))
  local reply = { version }
  if what == 'look' then
    reply[2], reply[3] = now, marks_since(tonumber(ARGV[3]))
  end
  if version ~= ARGV[2] then
    entries(function(name, expires, value)
      if expires > now then
        reply[#reply + 1] = name
        reply[#reply + 1] = expires - now
        reply[#reply + 1] = value
      end
    end)
    for _, name in ipairs(strange) do
      reply[#reply + 1] = name
      reply[#reply + 1] = -1
      reply[#reply + 1] = ''
    end
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
for _, name in ipairs(expired) do -- one by one: thousands at once are too many arguments
  redis.call('HDEL', key, name)
end

if what == 'put' then
  local expires = now + ARGV[3]
  latest = math.max(latest, expires)
  redis.call('HSET', key, ARGV[2], string.format('%.0f ', expires) .. ARGV[4])
else
  redis.call('HDEL', key, ARGV[2])
end
-- A version is never used twice, even after the set was lost: it continues from the clock.
local version = math.max(tonumber(version_of(redis.call('HGET', key, '#'))) + 1, now)
redis.call('HSET', key, '#', string.format('%.0f', version))
redis.call('PEXPIRE', key, string.format('%.0f', math.max(60000, math.ceil((latest - now) / 1000))))
return { what == 'put' and string.format('%.0f', version) or existed }
