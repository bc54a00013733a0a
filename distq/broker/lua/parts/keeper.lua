-- part keeper: the one supervisor that waits for the future times of the queue.
local SLACK = 1000
local LATE = 2000

-- The keeper, and until when. One that is said to be keeper for longer than a lease was named before the clock was set
-- back, and counts as none; so does one that has let a time pass, since it is dead, stopped, or cut off; and one of a
-- release that knows neither schedules nor flows, which keeps no time of theirs and takes what is in lanes of keys for lost.
local function living_keeper()
  local keeper, till, lease, armed, again =
    unpack(redis.call('HMGET', META, 'keeper', 'keeper_until', 'keeper_lease', 'armed', 'keeper_again'))
  if armed and tonumber(armed) < now - LATE then return nil end
  if not keeper or keeper ~= again then return nil end
  till = tonumber(till or 0)
  if till < now or till > now + tonumber(lease or 0) + SLACK then return nil end
  return keeper, till
end

local function name_keeper(host, lease)
  redis.call('HSET', META, 'keeper', host, 'keeper_until', now + lease, 'keeper_lease', lease, 'keeper_again', host)
end
