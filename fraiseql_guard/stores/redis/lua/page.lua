-- One page of an index (index.lua), the last notes to end first, and the number of notes in force.
--
-- KEYS[1]  the index
-- ARGV     most notes, or 0 only to count; where the page begins: the end in us of the last note that the caller has, or
--          ''; and how many notes that the caller has end at that moment
--
-- Reply    {notes in force, moment in us, then for each note: note, its end in us}

local most = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
local reply = { redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf'), now }
if most == 0 then
  return reply
end
local latest = ARGV[2] == '' and '+inf' or ARGV[2]
local known = 0
if ARGV[2] ~= '' then -- fewer, if some of them were lifted meanwhile
  known = math.min(redis.call('ZCOUNT', KEYS[1], latest, latest), tonumber(ARGV[3]))
end
-- Notes that have ended are below the lowest score, and are not looked at.
local notes = redis.call('ZRANGE', KEYS[1], latest, '(' .. now, 'BYSCORE', 'REV', 'LIMIT', known, most, 'WITHSCORES')
for _, part in ipairs(notes) do
  reply[#reply + 1] = part
end
return reply
