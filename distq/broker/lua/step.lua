-- step: active -> completed | scheduled | queued | dead | cancelled, queued -> active | expired | dead, scheduled -> queued | expired
-- A worker's whole round trip: settles what it has finished and reserves more. A worker that was reaped gets "gone";
-- a step that was already applied settles nothing again and is told what it reserved.
-- KEYS prefix
-- ARGV worker, number, want, bytes, digest and shares (parts/shares.lua), then three per verdict (parts/settle.lua)
-- returns {"ok" | "gone" | "stale", now ms, first fence, alone 0|1|2, late verdicts, entries, messages}
-- uses clock head limit wake flow ready shelves unique endings future listed settle lanes shares weights reserve room

-- The short way: a worker that was idle settles nothing, and the queue holds ready tasks and nothing else that matters now.
-- What wakes it is handed out in two thirds of the time because nothing else is set up.
local function reserve_at_once(worker, number, want, room)
  local call, entries, from = redis.call, {}, {}
  local state = call('HMGET', WORKER .. worker, 'step', 'takes')
  local takes = state[2]
  if not state[1] or tonumber(state[1]) ~= number - 1 then return nil end
  if takes ~= 'all' and takes ~= 'only' and takes ~= 'sound' then return nil end
  if call('EXISTS', DEADLINES, LANES, LIMITS, FLOWS, UNSTARTED, STOPPED, SUSPECTS .. 'high', SUSPECTS .. 'default', SUSPECTS .. 'low') > 0 then return nil end
  local time = call('TIME')
  local now = math.floor(time[1] * 1000 + time[2] / 1000)
  local armed, wanted, weights = unpack(call('HMGET', META, 'armed', 'wanted', 'weights'))
  if wanted or weights or (armed and tonumber(armed) <= now) then return nil end
  for _, level in ipairs({'high', 'default', 'low'}) do
    if #entries < want then
      for _, entry in ipairs(call('LPOP', QUEUE .. level, want - #entries) or {}) do
        entries[#entries + 1], from[#from + 1] = entry, level
      end
    end
  end
  local messages = #entries > 0 and call('HMGET', TASKS, unpack(entries)) or {}
  for i = 1, #entries do room = room - (messages[i] and #messages[i] or room + 1) end
  if room < 0 then -- a ghost, or more than fits
    for i = #entries, 1, -1 do call('LPUSH', QUEUE .. from[i], entries[i]) end
    return nil
  end
  if #entries > 0 then call('RPUSH', PROCESSING .. worker, unpack(entries)) end
  local fence = #entries > 0 and call('HINCRBY', META, 'fence', #entries) - #entries + 1 or 0
  call('HSET', WORKER .. worker, 'step', number, 'fence', fence, 'reserved', #entries, 'alone', 0)
  if call('EXISTS', QUEUE .. 'high', QUEUE .. 'default', QUEUE .. 'low') > 0 then
    call('ZADD', WAKE, 0, 'w')
  else
    call('ZREM', WAKE, 'w')
  end
  return {'ok', now, fence, 0, 0, entries, messages}
end

if not ARGV[6] and tonumber(ARGV[3]) > 0 and not string.find(ARGV[5], ' ', 1, true) then
  local reply = reserve_at_once(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]))
  if reply then return reply end
end
-- the long way
local worker, number, digest = ARGV[1], tonumber(ARGV[2]), read_shares(ARGV[5])
local state = redis.call('HMGET', WORKER .. worker, 'step', 'fence', 'reserved', 'alone', 'takes')
redis.call('ZREM', WAKE, 'w')
redis.call('ZREM', WAKE_GROUP .. digest, 'w')

if not state[1] then
  mark()
  return {'gone', now, 0, 0, 0, {}, {}}
end
local applied = tonumber(state[1])
if number < applied then
  mark()
  return {'stale', now, 0, 0, 0, {}, {}}
end
if number == applied then
  local reserved = tonumber(state[3])
  local held = reserved > 0 and redis.call('LRANGE', PROCESSING .. worker, -reserved, -1) or {}
  mark()
  return {'ok', now, tonumber(state[2]), tonumber(state[4]), 0, held, #held > 0 and redis.call('HMGET', TASKS, unpack(held)) or {}}
end

local late = settle(worker, 6)
local armed, wanted, weights = unpack(redis.call('HMGET', META, 'armed', 'wanted', 'weights'))
if armed and tonumber(armed) <= now then advance(100) end
reserve(worker, tonumber(ARGV[3]), tonumber(ARGV[4]), digest, state[5], number, weights)
local fence = #got > 0 and redis.call('HINCRBY', META, 'fence', #got) - #got + 1 or 0
redis.call('HSET', WORKER .. worker, 'step', number, 'fence', fence, 'reserved', #got, 'alone', alone)
if wanted then give_room() end
mark()
return {'ok', now, fence, alone, late, got, messages}
