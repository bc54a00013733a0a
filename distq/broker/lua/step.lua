-- step: active -> completed | scheduled | queued | dead, queued -> active | expired | dead, scheduled -> queued | expired
-- A worker's whole round trip: settles what it has finished and reserves more. A worker that was reaped gets "gone";
-- a step that was already applied settles nothing again and is told what it reserved.
-- KEYS prefix
-- ARGV worker, number, want, bytes, digest, then three per verdict (parts/settle.lua)
-- returns {"ok" | "gone" | "stale", now ms, first fence, alone 0|1, late verdicts, entries, messages}
-- uses clock head limit wake ready shelves endings future settle lanes reserve
local worker, number, digest = ARGV[1], tonumber(ARGV[2]), ARGV[5]
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
local armed = redis.call('HGET', META, 'armed')
if armed and tonumber(armed) <= now then advance(100) end
reserve(worker, tonumber(ARGV[3]), tonumber(ARGV[4]), digest, state[5])
local fence = #got > 0 and redis.call('HINCRBY', META, 'fence', #got) - #got + 1 or 0
redis.call('HSET', WORKER .. worker, 'step', number, 'fence', fence, 'reserved', #got, 'alone', alone)
mark()
return {'ok', now, fence, alone, late, got, messages}
