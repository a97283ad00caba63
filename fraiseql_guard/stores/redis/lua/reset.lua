-- Forget buckets, offences, automatic sanctions and their repeats on the node that runs this. Operators' sanctions and
-- overrides stay. It walks all keys of the server in one go, and so is for tests.
--
-- ARGV     the namespace
-- Reply    how many keys were looked at and changed

local cursor, changed = '0', 0
repeat
  local found = redis.call('SCAN', cursor, 'MATCH', ARGV[1] .. ':{*}:*', 'COUNT', 1000)
  cursor = found[1]
  for _, key in ipairs(found[2]) do
    local tail = string.gsub(string.match(key, '^[^{}]*:{[^{}]*}:(.*)$') or '', '^m:', '')
    if string.find(tail, '^[bor]:') or tail == 'g' then
      changed = changed + redis.call('UNLINK', key)
    elseif string.find(tail, '^s[0-9a-f]*$') then
      for _, policy in ipairs(redis.call('HKEYS', key)) do
        if policy ~= 'operator' then
          changed = changed + redis.call('HDEL', key, policy)
        end
      end
    end
  end
until cursor == '0'
return changed
