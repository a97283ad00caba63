-- The job that lifts all sanctions of one origin: its worker and its progress (stores/lift_jobs.py).
--
-- KEYS[1]  hash with the fields of a job; 'beat', 'started' and 'ended' are moments in us. It expires an hour after the
--          last write.
-- ARGV     'begin', id, actor, worker, seconds of silence after which a job is taken over, number of sanctions in force:
--              granted 1 if the job is the caller's now; 0 if a worker does it, who then goes over all sanctions again
--          'advance', id, how many more were looked at, how many more were lifted: granted 1 if it is the caller's job
--          'finish', id, state, why: granted 1 if the job is over; 0 if it goes on, because 'begin' came meanwhile
--          'read': granted 0
--
-- Reply    {granted, moment in us, then the job as field, value, ...}

local job, what = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local text = string.format('%.0f', now)

local function number(name)
  return tonumber(redis.call('HGET', job, name) or 0) or 0
end

local function reply(first)
  local found = redis.call('HGETALL', job)
  table.insert(found, 1, text)
  table.insert(found, 1, first)
  return found
end

local function write(...)
  redis.call('HSET', job, ...)
  redis.call('EXPIRE', job, 3600)
end

if what == 'read' then
  return reply(0)
end

if what == 'begin' then
  local silent = now - number('beat')
  local running = redis.call('HGET', job, 'state') == 'running'
  if running and silent >= 0 and silent < ARGV[5] * 1000000 then
    write('again', 1)
    return reply(0)
  end
  if not running then
    redis.call('DEL', job)
    write('lifted', 0, 'started', text)
  end
  write('id', ARGV[2], 'actor', ARGV[3], 'worker', ARGV[4], 'total', ARGV[6], 'seen', 0, 'state', 'running', 'why', '',
    'beat', text, 'again', 0)
  return reply(1)
end

if redis.call('HGET', job, 'id') ~= ARGV[2] then -- another worker has taken it over
  return reply(0)
end
if what == 'advance' then
  write('beat', text, 'seen', string.format('%.0f', number('seen') + ARGV[3]),
    'lifted', string.format('%.0f', number('lifted') + ARGV[4]))
  return reply(1)
end
-- A 'begin' came while the job ran: it goes on, so that sanctions that came into force meanwhile end as well.
if ARGV[3] == 'done' and number('again') == 1 then
  write('beat', text, 'again', 0, 'seen', 0)
  return reply(0)
end
write('state', ARGV[3], 'why', ARGV[4], 'ended', text)
return reply(1)
