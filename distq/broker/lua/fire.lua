-- fire: none -> queued | scheduled, queued -> cancelled, scheduled -> cancelled
-- Ticks of schedules: sets the next tick in place of the expected one, and enqueues, at one instant. So each tick fires
-- once, however many hosts try. A task of a tick that was to replace another ends that; one that was to wait for it is not
-- made.
-- KEYS prefix
-- ARGV host, then per schedule a msgpack array: name, expected tick, edition, next tick, then id, tick and due ms (0: at
--   once) of each task by turns; the expected tick 0: now, by hand, whatever the next tick is
-- returns {now ms, next future time of the queue ms or -1, then per schedule "fired" | "moved" | "early" | "unknown"}
-- uses clock head limit wake flow ready shelves results unique endings cancelling await
local HISTORY, HISTORY_MS = 20, 400 * 86400000
local host = ARGV[1]
pokes_keeper = redis.call('HGET', META, 'keeper') ~= host

local function note(name, tick, word, id)
  redis.call('LPUSH', FIRED .. name, cmsgpack.pack({tick, now, word, id}))
  redis.call('LTRIM', FIRED .. name, 0, HISTORY - 1)
  redis.call('PEXPIRE', FIRED .. name, HISTORY_MS)
end

local function is_known(id)
  return redis.call('HEXISTS', TASKS, id) == 1 or redis.call('HEXISTS', GENERATIONS, id) == 1
    or redis.call('HEXISTS', DEAD, id) == 1 or result_of(id)
end

-- The message is as a producer sends it, but for its last eight bytes: the tick, a float in its headers.
local function enqueue_tick(s, id, tick, due)
  local at = due > now and due or now
  local expires = s.options.expires_in and at + s.options.expires_in or 0
  local message = struct.pack('>dd', now, expires) .. s.message .. struct.pack('>d', tick)
  local h = read_head(message)
  redis.call('HSET', TASKS, id, message)
  retake_name(id, h)
  declare_limits(h.type, s.options)
  if due > now then make_scheduled(id, h, due) else make_ready(id, h, 'RPUSH') end
  count('enqueued', h.type, 1)
end

-- Makes one task, if what the one before does allows it.
local function fire_one(name, s, id, tick, due, by_hand)
  if is_known(id) then return end
  if by_hand then
    enqueue_tick(s, id, tick, due)
    note(name, tick, 'triggered', id)
    s.last = id
    return
  end
  local entry = s.last and (redis.call('HGET', GENERATIONS, s.last) or s.last)
  local message = s.overlap ~= 'queue' and entry and redis.call('HGET', TASKS, entry)
  if message and s.overlap == 'skip' then return note(name, tick, 'skipped', s.last) end
  local holder = holder_of(name_of(read_head(string.rep('\0', 16) .. s.message)))
  if holder and not (message and holder == entry) then return note(name, tick, 'skipped', id_of(holder)) end
  if message then cancel_task(entry, message, 'schedule', 'running') end
  enqueue_tick(s, id, tick, due)
  note(name, tick, message and 'replaced' or 'fired', id)
  s.last = id
end

local function fire(call)
  local name, expected, edition, next_tick = call[1], call[2], call[3], call[4]
  local found = redis.call('HMGET', SCHEDULE .. name, 'tick', 'edition', 'message', 'options', 'overlap', 'last')
  if not found[3] then
    redis.call('ZREM', FIRES, name)
    return 'unknown'
  end
  if expected > 0 then
    if tonumber(found[1] or 0) ~= expected or found[2] ~= edition or not redis.call('ZSCORE', FIRES, name) then return 'moved' end
    if expected > now then
      await(name)
      return 'early'
    end
  end
  local s = {message = found[3], overlap = found[5], last = found[6],
    options = found[4] and cmsgpack.unpack(found[4]) or {}}
  for i = 5, #call, 3 do fire_one(name, s, call[i], call[i + 1], call[i + 2], expected == 0) end
  if #call == 4 then note(name, expected, 'missed', '') end
  if s.last ~= found[6] then redis.call('HSET', SCHEDULE .. name, 'last', s.last) end
  if expected > 0 then
    redis.call('HSET', SCHEDULE .. name, 'tick', string.format('%.0f', next_tick))
    await(name)
  end
  return 'fired'
end

local words = {}
for i = 2, #ARGV do words[#words + 1] = fire(cmsgpack.unpack(ARGV[i])) end

local function earliest(key) return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or math.huge) end

-- What META.armed said was the tick that has been fired now.
if tonumber(redis.call('HGET', META, 'armed') or math.huge) <= now then
  redis.call('HDEL', META, 'armed')
  local next_ms = math.min(earliest(DELAYED), earliest(DEADLINES), earliest(RESUMES), earliest(FIRES))
  if next_ms < math.huge then announce(next_ms) end
end
mark()
return {now, tonumber(redis.call('HGET', META, 'armed') or -1), unpack(words)}
