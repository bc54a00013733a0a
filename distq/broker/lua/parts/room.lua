-- part room: how many tasks wait or are scheduled, and who waits for one of these places (docs/decisions/0052).
local WAIT_FOR_ROOM = 25000

-- Of a type, or of "", the whole queue. What runs does not count: of a bounded type RUNNING says how many that are (parts/flow.lua).
local function count_pending(type)
  local call = redis.call
  if type == '' then
    local number = call('HLEN', TASKS)
    for _, worker in ipairs(call('ZRANGE', LEASES, 0, -1)) do number = number - call('LLEN', PROCESSING .. worker) end
    return number
  end
  local fields = {'enqueued', 'replayed', 'corrected', 'arrived', 'completed', 'dead', 'cancelled', 'expired', 'moved'}
  for i, event in ipairs(fields) do fields[i] = event .. ' ' .. type end
  local number = -(call('HGET', RUNNING, '=' .. type) or 0)
  for i, count in ipairs(call('HMGET', LEDGER, unpack(fields))) do number = number + (i <= 4 and 1 or -1) * (count or 0) end
  return number
end

-- Whoever waits for room blocks on a marker. It exists if there is room, and whoever takes it asks again.
local function give_room()
  if redis.call('HEXISTS', META, 'wanted') == 0 then return end
  redis.call('ZREMRANGEBYSCORE', WANTED, '-inf', now)
  local wanted = redis.call('ZRANGE', WANTED, 0, 99)
  if #wanted == 0 then redis.call('HDEL', META, 'wanted') end
  for _, member in ipairs(wanted) do
    local most, type = string.match(member, '^(%d+) (.*)$')
    if count_pending(type) < tonumber(most) then
      redis.call('ZADD', ROOM .. type, 0, 'r')
      redis.call('PEXPIRE', ROOM .. type, WAIT_FOR_ROOM)
    else
      redis.call('DEL', ROOM .. type)
    end
  end
end
