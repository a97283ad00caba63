-- Trusted documents: read their version, add documents, remove documents (stores/documents.py).
--
-- KEYS[1]  hash, the index: '#' -> version; ':' and an id -> 'SHA-256, size in bytes, facts'. Beside it
--          KEYS[1]:texts, hash: id -> text, which is read by HMGET and never by a poll. Both expire KEPT ms after a
--          worker last looked.
-- ARGV     'look': {version, number of documents}. The entries are read by HSCAN, so that neither this server nor the
--              worker stands still for thousands of them: they belong together if the looks before and after are equal
--          'add', most documents, most bytes, then for each: id, SHA-256, size, facts, text:
--              {'conflict', id} or {'full'} if nothing was changed; else {'done', how many are new or have other facts}
--          'remove', ids: {'done', how many of the ids the index had}
--
-- An index that was lost (FLUSHALL, a restart without persistence) has version 0, which differs from every version that
-- a worker has read.

local KEPT = 31536000000
local index, texts = KEYS[1], KEYS[1] .. ':texts'
local what = ARGV[1]

local function keep() -- a look must not fail where writes are refused
  redis.pcall('PEXPIRE', index, KEPT)
  redis.pcall('PEXPIRE', texts, KEPT)
end

local function version_of(text) -- a version of other software is read as '1', so that workers read the index
  return text and (string.match(text, '^%d+$') and #text < 18 and text or '1') or '0'
end

local function changed()
  -- A version is never used twice, even after the index was lost: it continues from the clock.
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local version = math.max(tonumber(version_of(redis.call('HGET', index, '#'))) + 1, now)
  redis.call('HSET', index, '#', string.format('%.0f', version))
  keep()
end

if what == 'look' then
  local version = redis.call('HGET', index, '#')
  if not version then
    return { '0', 0 }
  end
  if redis.call('PTTL', index) < KEPT - 86400000 then -- once a day is enough
    keep()
  end
  return { version_of(version), redis.call('HLEN', index) - 1 }
end

if what == 'remove' then
  local removed = 0
  for i = 2, #ARGV do
    removed = removed + redis.call('HDEL', index, ':' .. ARGV[i])
    redis.call('HDEL', texts, ARGV[i])
  end
  if removed > 0 then
    changed()
  end
  return { 'done', removed }
end

local held, documents, bytes = {}, 0, 0
local fields = redis.call('HGETALL', index)
for i = 1, #fields, 2 do
  if fields[i] ~= '#' then
    held[string.sub(fields[i], 2)] = fields[i + 1]
    documents = documents + 1
    bytes = bytes + tonumber(string.match(fields[i + 1], '^%x+ (%d+) ') or 0) -- 0: other software wrote it
  end
end
local news = {}
for i = 4, #ARGV, 5 do
  local id, digest, size = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local entry = digest .. ' ' .. size .. ' ' .. ARGV[i + 3]
  local known = held[id]
  if known and string.sub(known, 1, #digest) ~= digest then
    return { 'conflict', id }
  end
  if not known then
    documents = documents + 1
    bytes = bytes + tonumber(size)
  end
  if known ~= entry then
    news[#news + 1] = i
  end
  held[id] = entry
end
if documents > tonumber(ARGV[2]) or bytes > tonumber(ARGV[3]) then
  return { 'full' }
end
for i = 4, #ARGV, 5 do -- known documents too: a text that was lost is there again
  redis.call('HSET', texts, ARGV[i], ARGV[i + 4])
end
for _, i in ipairs(news) do
  redis.call('HSET', index, ':' .. ARGV[i], held[ARGV[i]])
end
if #news > 0 then
  changed()
end
return { 'done', #news }
