-- Settle the whole bill of one request in one step: sanctions, buckets, offences (stores/protocol.py: AdmitRequest).
--
-- KEYS[1]  a key of the subject that this call reads, which routes the call. Every key below begins like it, with
--          namespace:{tag}:  so that one node of a cluster has all of them. While the slot is being moved, the old node
--          fails at the first key that it lacks, before anything is taken: all buckets are read before one is written.
-- KEYS[2]  only if another than the subject pays (AdmitRequest.limit_subject): the override of the payer's limits,
--          l<member>. The payer's buckets begin like it; the buckets of the last charges, the subject's own, begin like
--          KEYS[1].
-- ARGV     mode of the lookup ('' or 'm:', the keys of monitoring processes), the subject's member of its group ('' if it
--          has no group), exempt policies as ' name name ', requests refused from memory, constants of sanctions as
--          'networks day longest name name ' with the names of all policies, number of charges, how many of the last
--          charges are fixed, how many of the last fixed charges are the subject's own, and 1 if another node has refused
--          the request already;
--          then for each charge: bucket, capacity, tokens per window, window in seconds, cost;
--          then the escalation of a refusal and the escalation of the request's own offence, each as '' or as: policy,
--          offences, window in seconds, length of the sanction in seconds, mode, weight of the offence;
--          then, unless it is 0, the patience in us: a refusal that ends within it is waited for, and is no offence.
--
-- Reply    {-1, policy, remaining us, reason, 1 if it is the group's}                    a sanction binds the request
--          {1 or 0, then for each charge: remaining and wait}                            admitted or refused
--          {3 or 2, burst, the override's time left in ms, number of windows, then tokens and window for each, then for
--          each charge: remaining and wait}    admitted or refused, an override replaced the charges that are not fixed
--          The last two are followed by {length us, offences seen, 1 if it is the group's, reason} if a sanction came
--          into force.
--          Remaining is in millionths of a token, wait in us (-1: never).
--
-- Keys     b:<bucket>  'used at': tokens in use (a full bucket has no key, and a raised limit acts at once)
--          s<member>   hash: policy -> 'expires reason'          o:<policy>:<member>  list: 'at weight seen' per offence
--          g           zset: sanctioned members of the group     r:<policy>:<member>  sanctions within a day
--          l<member>   'tokens window burst actor': an override of the subject's limits. A rate of several windows has
--                      the further windows before the actor, each as unit separator, tokens, slash, window
--
-- A key in another form than these was written by other software: the call fails, and the caller removes the key and
-- calls again (stores/redis/repair.py). An unknown policy belongs to a newer version of the guard, and binds only there.
--
-- Numbers become text by string.format: Lua's own conversion keeps 14 digits, and microseconds have 16.

local base, mode, member, exempt = string.match(KEYS[1], '^.-}:'), ARGV[1], ARGV[2], ARGV[3]
local limit_key = KEYS[2] or base .. 'l' .. member
local payer, payer_member = string.match(limit_key, '^(.-}:)l(.*)$')
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function binding()
  local found
  for _, who in ipairs(member == '' and { '' } or { member, '' }) do
    local fields = redis.call('HGETALL', base .. mode .. 's' .. who)
    for i = 1, #fields, 2 do
      local policy, operator = fields[i], fields[i] == 'operator'
      if string.find(policy, '^[a-z_]+$') and string.find(ARGV[5], ' ' .. policy .. ' ', 1, true)
        and (operator or not string.find(exempt, ' ' .. policy .. ' ', 1, true)) then
        local moment, reason = string.match(fields[i + 1], '^(%d+) (.*)$')
        local expires = tonumber(moment)
        if expires > 1e17 then
          error('no moment')
        end
        -- An operator's sanction comes first; of the others the longest, so that Retry-After is true.
        if expires > now and (not found or (operator and not found.operator)
          or (operator == found.operator and expires > found.expires)) then
          found = { operator = operator, expires = expires, policy = policy, reason = reason,
                    group = member ~= '' and who == '' }
        end
      end
    end
  end
  return found
end

local function in_force(keys, who, policy)
  local held = redis.call('HGET', keys .. 's' .. who, policy)
  return held and tonumber(string.match(held, '^%d+')) > now
end

local function expire_not_before(key, milliseconds)
  if redis.call('PTTL', key) < milliseconds then
    redis.call('PEXPIRE', key, string.format('%.0f', milliseconds))
  end
end

-- A sanction falls on the group instead of on a further network, once enough of its networks are sanctioned.
local function bearer(keys, networks)
  if member == '' then
    return ''
  end
  redis.call('ZREMRANGEBYSCORE', keys .. 'g', '-inf', string.format('%.0f', now))
  local others = redis.call('ZCARD', keys .. 'g')
  if redis.call('ZSCORE', keys .. 'g', member) then
    others = others - 1
  end
  return others + 1 >= networks and '' or member
end

local function sanction(keys, policy, seconds, reason)
  local networks, day, longest = string.match(ARGV[5], '^(%d+) (%d+) (%d+) ')
  local who = bearer(keys, tonumber(networks))
  local repeats = keys .. 'r:' .. policy .. ':' .. who
  local nth = redis.call('INCR', repeats)
  redis.call('EXPIRE', repeats, day)
  local length = math.max(seconds, math.min(seconds * 2 ^ (nth - 1), tonumber(longest)))
  local expires = now + length * 1000000
  redis.call('HSET', keys .. 's' .. who, policy, string.format('%.0f ', expires) .. reason)
  expire_not_before(keys .. 's' .. who, length * 1000)
  if who ~= '' then
    local already = tonumber(redis.call('ZSCORE', keys .. 'g', who) or 0)
    redis.call('ZADD', keys .. 'g', string.format('%.0f', math.max(already, expires)), who)
    expire_not_before(keys .. 'g', length * 1000)
  end
  return length * 1000000, member ~= '' and who == ''
end

-- Count an offence; append to the reply if it brings a sanction.
local function offend(reply, at, seen, once_a_second)
  local policy, offences, window = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local keys, weight = base .. ARGV[at + 4], tonumber(ARGV[at + 5])
  if in_force(keys, member, policy) or in_force(keys, '', policy) then
    return -- offences during a sanction do not prolong it
  end
  local log = keys .. 'o:' .. policy .. ':' .. member
  local entries, gone, count, total = redis.call('LRANGE', log, 0, -1), 0, 0, 0
  local last_at, last_weight, last_seen
  for position, entry in ipairs(entries) do
    local when, heavy, many = string.match(entry, '^(%d+) (%d+) (%d+)$')
    when = tonumber(when)
    if when > now then -- the clock was set back: it happened now, and leaves the window in time
      when = now
      redis.call('LSET', log, position - 1, string.format('%.0f %s %s', now, heavy, many))
    end
    if when <= now - window * 1000000 then
      gone = gone + 1
    else
      count, total = count + heavy, total + many
      last_at, last_weight, last_seen = when, heavy, many
    end
  end
  if gone > 0 then
    redis.call('LTRIM', log, gone, -1)
  end
  if once_a_second and last_at and now - last_at < 1000000 then
    redis.call('LSET', log, -1, string.format('%.0f %s %.0f', last_at, last_weight, last_seen + seen))
    return
  end
  if count + weight < offences then
    redis.call('RPUSH', log, string.format('%.0f %.0f %.0f', now, weight, seen))
    redis.call('EXPIRE', log, window)
    return
  end
  local reason = ARGV[at + 1] .. ' offences in ' .. ARGV[at + 2] .. ' s'
  local length, group = sanction(keys, policy, tonumber(ARGV[at + 3]), reason)
  redis.call('DEL', log) -- last: where the sanction's own keys cannot be written, its offences are there for the next call
  reply[#reply + 1] = length
  reply[#reply + 1] = total + seen
  reply[#reply + 1] = group and 1 or 0
  reply[#reply + 1] = reason
end

local bound = binding()
if bound then
  return { -1, bound.policy, bound.expires - now, bound.reason, bound.group and 1 or 0 }
end

local charges, fixed, own_charges, refused = string.match(ARGV[6], '^(%d+) (%d+) (%d+) (%d)$')
charges, fixed, own_charges = tonumber(charges), tonumber(fixed), tonumber(own_charges)
local abuse = 7 + charges * 5
local wanted, override = {}, nil
if charges > fixed then
  local value, name = redis.call('GET', limit_key) or '', payer_member == '' and 'override' or payer_member .. ':override'
  local tokens, window, burst = string.match(value, '^(%d+) (%d+) (%d+)')
  if tokens and tonumber(tokens) > 0 and tonumber(window) > 0 then
    override = { tonumber(burst), redis.call('PTTL', limit_key), 1, tonumber(tokens), tonumber(window) }
    wanted[1] = { name, tokens + burst, tokens, window, ARGV[11] }
    for more, seconds in string.gmatch(string.match(value, '^%d+ %d+ %d+ (\31[%d/\31]*)') or '', '\31(%d+)/(%d+)') do
      if tonumber(more) == 0 or tonumber(seconds) <= override[#override] then
        error('no limit') -- each window is longer than the one before it
      end
      override[3], override[#override + 1], override[#override + 2] = override[3] + 1, tonumber(more), tonumber(seconds)
      wanted[#wanted + 1] = { name .. '/' .. seconds, more, more, seconds, ARGV[11] }
    end
  end
end
if override then -- the subject's own charges, beside the payer's, are dropped
  charges, fixed, own_charges = charges - own_charges, fixed - own_charges, 0
end
for i = override and charges - fixed + 1 or 1, charges do
  local at = 2 + i * 5
  wanted[#wanted + 1] = { ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4] }
end

local before, held, full, bills, fits = {}, {}, {}, {}, refused ~= '1' -- by key, because charges may share a bucket
for i, charge in ipairs(wanted) do
  local key, capacity = (i > #wanted - own_charges and base or payer) .. 'b:' .. charge[1], tonumber(charge[2])
  local rate, cost = charge[3] / charge[4] / 1000000, tonumber(charge[5])
  local used = held[key]
  if not used then
    local since
    used, since = string.match(redis.call('GET', key) or '', '^(%S+) (%d+)$')
    used = used and math.max(0, used - math.max(0, now - since) * rate) or 0
    full[key] = since and used == 0 -- at this rate, and so at any other that comes later
    before[key] = used
  end
  -- A bucket that has become smaller is at most empty, and a clock that was set back has brought nothing yet.
  before[key], used = math.min(before[key], capacity), math.min(used, capacity)
  local over = used + cost - capacity
  bills[i] = { key = key, capacity = capacity, rate = rate, wait = 0 }
  -- A millionth of a token is less than microseconds can resolve.
  if over > 0.000001 then
    fits = false
    bills[i].wait = cost > capacity and -1 or math.ceil(over / rate)
  else
    used = math.max(0, used + cost) -- a refund fills a bucket, and no more than that
    bills[i].after = used
    held[key] = used
  end
end

local reply = { fits and 1 or 0 }
if override then
  reply = { fits and 3 or 2, unpack(override) }
end
for _, bill in ipairs(bills) do
  -- The tokens in use are written even if nothing is taken, so that the wait in the reply is true from now on.
  local used = fits and held[bill.key] or before[bill.key]
  local left = fits and bill.after or used
  if left > 0 then
    redis.call('SET', bill.key, string.format('%.17g %.0f', left, now),
      'PX', string.format('%.0f', math.max(1, math.ceil(left / bill.rate / 1000))))
  elseif before[bill.key] > 0 or full[bill.key] then
    redis.call('DEL', bill.key)
  end
  reply[#reply + 1] = math.floor((bill.capacity - used) * 1000000)
  reply[#reply + 1] = bill.wait
end

local function waits(patience)
  if refused == '1' then -- the other node has refused the request, whatever this one's buckets hold
    return false
  end
  for _, bill in ipairs(bills) do
    if bill.wait < 0 or bill.wait > patience then
      return false
    end
  end
  return true
end

local own = abuse + (ARGV[abuse] == '' and 1 or 6)
if fits and ARGV[own] ~= '' then
  offend(reply, own, tonumber(ARGV[own + 5]), false)
elseif not fits and ARGV[abuse] ~= '' and not waits(tonumber(ARGV[own + (ARGV[own] == '' and 1 or 6)] or 0)) then
  offend(reply, abuse, 1 + ARGV[4], true)
end
return reply
