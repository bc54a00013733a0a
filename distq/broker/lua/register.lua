-- register: none -> live worker
-- A worker begins: its lease, the types it can run, the limits they declare (the last registration wins).
-- KEYS prefix
-- ARGV layout, worker, host, lease ms, digest, info, takes, types that have lanes of their own from now on (a msgpack
--   array, "" none), types of which it takes only some at a time (a msgpack array of: group, whether they have lanes of
--   their own from now on, types; "" none), weights of the priorities ("8 3 1" from high to low, "strict", "": not said),
--   number of types, types…, then type, limit and flow ("" none) by turns
--   takes: "all" | "only": the same, and its host has no other worker | "sound": no suspects, since other tasks run in its
--     process | "lanes": likewise, and nothing but what is in lanes | "nothing" | "suspects": nothing else
--     | "isolated": nothing but isolated tasks, and its host runs nothing else
-- returns {"ok", now ms} | {"layout", the other layout}
-- uses clock head limit wake flow lanes override
local layout, worker, host, lease, digest, info = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
local found = redis.call('HGET', META, 'layout')
if found and found ~= layout then return {'layout', found} end
redis.call('ZREM', WAKE, 'w') -- a full broker lets pass what begins so, and mark() sets it again
if not found then redis.call('HSET', META, 'noted', cmsgpack.pack({})) end -- a new queue: see parts/history.lua
redis.call('HSET', META, 'layout', layout)
redis.call('HSET', WORKER .. worker, 'lease', lease, 'step', 0, 'settled', 0, 'fence', 0, 'reserved', 0, 'alone', 0,
  'takes', ARGV[7], 'host', host, 'digest', digest, 'info', info)
redis.call('ZADD', LEASES, now + lease, worker)
redis.call('ZADD', HOSTS, now + lease, host) -- from now on it takes orders: its first renewal may come later
local types = tonumber(ARGV[11])
if types > 0 then
  redis.call('SADD', TYPES .. digest, unpack(ARGV, 12, 11 + types))
  redis.call('PEXPIRE', TYPES .. digest, lease * 4)
end
redis.call('SADD', GROUPS, digest)
for i = 12 + types, #ARGV, 3 do
  local type = ARGV[i]
  local declared, flow = declared_or_overridden(type, ARGV[i + 1], ARGV[i + 2])
  local limit = read_limit(type)
  if declared ~= '' then
    if not limit or limit.declared ~= declared then
      write_limit(type, {declared = declared, tat = limit and limit.tat or 0})
      read_limit(type) -- what the old limit has taken in advance counts for no more than the new one's burst
    end
    if redis.call('HGET', LANES, type) ~= 'flow' then redis.call('HSET', LANES, type, 'limited') end
  elseif limit or redis.call('HGET', LANES, type) == 'limited' then
    redis.call('HDEL', LIMITS, limited_type(type))
    if redis.call('HGET', LANES, type) ~= 'flow' then redis.call('HSET', LANES, type, 'parked 86400000') end
  end
  if flow ~= '' then
    flows().declare(type, flow)
    flows().declare('v2/' .. type, flow)
  elseif redis.call('HDEL', FLOWS, limited_type(type)) == 1 then
    flows().reconsider(type)
    flows().reconsider('v2/' .. type)
  end
  if redis.call('HEXISTS', PAUSED, limited_type(type)) == 1 then
    flows().begin(type)
    flows().begin('v2/' .. type)
  end
end
local weights = redis.call('HGET', META, 'weights') or 'strict'
if ARGV[10] ~= '' and ARGV[10] ~= weights then
  redis.call('HDEL', META, 'weights', 'passes')
  if ARGV[10] ~= 'strict' then redis.call('HSET', META, 'weights', ARGV[10]) end
end
if ARGV[8] ~= '' then
  redis.call('HSET', WORKER .. worker, 'apart', ARGV[8])
  set_apart(cmsgpack.unpack(ARGV[8]), digest)
end
if ARGV[9] ~= '' then
  redis.call('HSET', WORKER .. worker, 'shares', ARGV[9])
  announce_shares(cmsgpack.unpack(ARGV[9]), lease)
end
mark()
return {'ok', now}
