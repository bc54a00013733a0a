-- probe: (read only)
-- Whether the server can do what distq's scripts do, by calls that change nothing: look-alikes lack this or that, and a
-- command may be renamed or forbidden. And whether the queue's own keys are what they should be.
-- KEYS prefix
-- returns {what fails (a command, or a key of another type), why, …}
local key = ANSWER .. ' probe' -- no id has a space, so nobody has this key
local failed = {}

local function fails(what, why) failed[#failed + 1], failed[#failed + 2] = what, why end

-- On a key that is not there: what reads finds nothing, and what removes has nothing to remove.
local HARMLESS = {
  {'TIME'}, {'DEL', key}, {'EXISTS', key}, {'GET', key}, {'HDEL', key, 'f'}, {'HEXISTS', key, 'f'}, {'HGET', key, 'f'},
  {'HGETALL', key}, {'HKEYS', key}, {'HLEN', key}, {'HMGET', key, 'f'}, {'HRANDFIELD', key, 2}, {'HSCAN', key, 0, 'COUNT', 10}, {'LINDEX', key, 0}, {'LLEN', key},
  {'LPOP', key, 2}, {'LPOS', key, 'x', 'COUNT', 0}, {'LRANGE', key, 0, -1}, {'LREM', key, 1, 'x'}, {'LTRIM', key, 0, 1},
  {'MGET', key, key},
  {'PEXPIRE', key, 1000}, {'PEXPIREAT', key, 1000}, {'PTTL', key}, {'SCARD', key}, {'SCAN', 0, 'COUNT', 1}, {'SDIFF', key, key}, {'SSCAN', key, 0, 'COUNT', 10},
  {'SINTER', key, key}, {'SISMEMBER', key, 'x'}, {'SMEMBERS', key}, {'SRANDMEMBER', key, 2}, {'SREM', key, 'x'},
  {'TYPE', key}, {'UNLINK', key}, {'ZCARD', key}, {'ZCOUNT', key, 0, 1}, {'ZMSCORE', key, 'x'}, {'ZRANGE', key, 0, -1, 'REV'},
  {'ZRANGEBYSCORE', key, '-inf', 1, 'WITHSCORES', 'LIMIT', 0, 1}, {'ZRANK', key, 'x'}, {'ZREM', key, 'x'},
  {'ZREMRANGEBYSCORE', key, '-inf', 1}, {'ZSCORE', key, 'x'},
}
for _, command in ipairs(HARMLESS) do
  local reply = redis.pcall(unpack(command))
  if type(reply) == 'table' and reply.err then fails(command[1], reply.err) end
end

-- What adds is not called: a server that has it complains of missing arguments, and says whether this user may (from 7.0).
for _, command in ipairs({
  {'HINCRBY', key, 'f', 1}, {'HSET', key, 'f', 'v'}, {'HSETNX', key, 'f', 'v'}, {'LPUSH', key, 'v'}, {'RPUSH', key, 'v'},
  {'SADD', key, 'v'}, {'SET', key, 'v'}, {'ZADD', key, 0, 'v'},
}) do
  local reply = redis.pcall(command[1])
  local why = type(reply) == 'table' and reply.err or ''
  if string.find(string.lower(why), 'unknown') then
    fails(command[1], why)
  elseif redis.acl_check_cmd and not redis.acl_check_cmd(unpack(command)) then
    fails(command[1], 'NOPERM no permission')
  end
end

-- Keys that every script may touch, each read as what it should be.
local OWN = {
  {'HLEN', TASKS, DEAD, GENERATIONS, LANES, LIMITS, FLOWS, FLOWING, FILLING, RUNNING, HELD, PAUSED, OVERRIDES, BUDGETS,
    UNIQUES, NAMED, UNSTARTED, LEDGER, REFUSED, LEAVING, ARRIVING, META},
  {'ZCARD', DELAYED, DEADLINES, DEAD_LETTERS, SHELVES, WAITED, WAKE, WAKE_ALONE, LEASES, HOSTS, FIRES, DECLARERS,
    ORPHANED, RESUMES, WANTED, ACTIONS},
  {'SCARD', GROUPS, SCHEDULES, CODED, DONE_TYPES, GHOSTS .. 'high', GHOSTS .. 'default', GHOSTS .. 'low', LANES_AT .. 'high',
    LANES_AT .. 'default', LANES_AT .. 'low'},
  {'LLEN', COMPLETED, QUEUE .. 'high', QUEUE .. 'default', QUEUE .. 'low', SUSPECTS .. 'high', SUSPECTS .. 'default',
    SUSPECTS .. 'low'},
  {'GET', LATEST, CONFIRMED, STOPPED},
}
for _, names in ipairs(OWN) do
  for i = 2, #names do
    local reply = redis.pcall(names[1], names[i])
    if type(reply) == 'table' and reply.err and string.find(reply.err, 'WRONGTYPE') then fails(names[i], reply.err) end
  end
end

local function answers(what, make, expected)
  local is_done, found = pcall(make)
  if not is_done then return fails(what, tostring(found)) end
  if found ~= expected then fails(what, 'it answers ' .. tostring(found) .. ' instead of ' .. tostring(expected)) end
end
answers('cmsgpack in Lua', function() return cmsgpack.unpack(cmsgpack.pack({1, 'a'}))[2] end, 'a')
answers('struct in Lua', function() return (struct.unpack('>d', struct.pack('>d', 1.5))) end, 1.5)
answers('ZMSCORE', function() return #redis.pcall('ZMSCORE', key, 'x', 'y') end, 2)
answers('LPOP with a number', function() return redis.pcall('LPOP', key, 2) end, false)
return failed
