-- recover: active -> queued | dead | cancelled, live worker -> none
-- Takes back what a worker holds; from now on this name settles nothing. Verdicts that it left behind are applied first.
--   left   it gives back on its own, or was stopped by its supervisor: nothing is charged
--   died   its supervisor saw it die: what it had started is suspect; what it ran alone is charged one delivery
--   lost   its lease ended unrenewed (`expected`): all is suspect; charged is what ran alone on its host
-- What must not be started twice (its own limit is 1) is dead when it may have begun: it was started, or handed to what is lost.
-- KEYS prefix
-- ARGV worker, how, expected lease ms or "", max deliveries, record, step, doubtful, ran, number of started entries,
--   then each started entry and its record, then three per verdict
--   record: msgpack map of the crash ("" none), for what has none of its own; it gets the attempt and the delivery
--   step, doubtful: if a later step was applied, then so were the first so many verdicts
--   ran: how many tasks its process ran, in all queues
-- returns {"ok" | "alive" | "gone", released, suspected, charged, buried, still held}
-- uses clock keeper head limit wake flow ready shelves unique endings listed settle room
local worker, how, expected, max_deliveries, record = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local processing = PROCESSING .. worker
local function may_live()
  if redis.call('ZSCORE', LEASES, worker) ~= expected then return true end
  local ends = tonumber(expected)
  return ends > now and ends <= now + tonumber(redis.call('HGET', WORKER .. worker, 'lease') or 0) + SLACK
end
if expected ~= '' and may_live() then return {'alive', 0, 0, 0, 0, 0} end
if redis.call('EXISTS', WORKER .. worker, processing) == 0 then
  redis.call('ZREM', LEASES, worker)
  return {'gone', 0, 0, 0, 0, 0}
end
local step, takes = unpack(redis.call('HMGET', WORKER .. worker, 'step', 'takes'))
local is_alone_on_host = takes == 'only' or takes == 'isolated'
local doubtful, ran_in_all, number = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local started = {}
for i = 10, 8 + 2 * number, 2 do started[ARGV[i]] = ARGV[i + 1] end
redis.call('ZREM', WAKE, 'w')
redis.call('DEL', WORKER .. worker)
settle(worker, 10 + 2 * number + (step == ARGV[6] and 0 or 3 * doubtful))

local tally = {released = 0, suspected = 0, charged = 0, buried = 0}

-- The record of this death for one task; empty if there is none.
local function crash(entry, h, is_charged)
  local raw = started[entry]
  if not raw or raw == '' then raw = record end
  if raw == '' then return {}, '' end
  local found = cmsgpack.unpack(raw)
  found.attempt, found.delivery, found.charged = h.attempt + 1, h.deliveries, is_charged
  return found, cmsgpack.pack(found)
end

local function end_by_death(entry, message, h, type, text, found)
  tally.buried = tally.buried + 1
  bury(entry, message, h, cmsgpack.pack({outcome = 'lost', type = type, attempt = h.attempt + 1, at = now,
    delivery = h.deliveries, message = text, traceback = found.traceback}))
end

-- Was it surely this task that killed its process, or its host?
local function is_charged_for(entry, h)
  if how == 'lost' then return is_alone_on_host and has_flag(h, SUSPECT) end
  return has_flag(h, SUSPECT) or ran_in_all == 1
end

local function suspect(entry, message, h)
  local is_charged = is_charged_for(entry, h)
  if how == 'lost' and not is_charged and has_flag(h, SUSPECT) then set_flag(h, ISOLATED, true) end
  set_flag(h, SUSPECT, true)
  if is_charged then
    h.deliveries = h.deliveries + 1
    tally.charged = tally.charged + 1
  else
    tally.suspected = tally.suspected + 1
  end
  local found, packed = crash(entry, h, is_charged)
  if packed ~= '' then
    set_flag(h, HAS_RECORDS, true)
    write_attempt(id_of(entry), packed, DEAD_AGE)
  end
  message = write_head(h, message)
  local own = own_limit(h)
  if is_charged and h.deliveries >= (own > 0 and own or max_deliveries) then
    local times = h.deliveries == 1 and ' time' or ' times'
    local cause = found.cause and ' (' .. found.cause .. ')' or ''
    end_by_death(entry, message, h, 'WorkerKilled', 'killed its worker ' .. h.deliveries .. times .. cause, found)
  else
    redis.call('HSET', TASKS, entry, message)
    make_ready(entry, h, 'LPUSH')
  end
end

local function end_at_most_once(entry, message, h)
  h.deliveries = h.deliveries + 1
  tally.charged = tally.charged + 1
  local found, packed = crash(entry, h, true)
  write_attempt(id_of(entry), packed, DEAD_AGE)
  end_by_death(entry, write_head(h, message), h, 'MayHaveRun', 'may have run: ' .. (found.message or 'its worker is gone'), found)
end

local entries = redis.call('LRANGE', processing, -500, -1)
if #entries > 0 then redis.call('LTRIM', processing, 0, -#entries - 1) end
for i = #entries, 1, -1 do
  local entry = entries[i]
  local message = redis.call('HGET', TASKS, entry)
  if message then
    local h = read_head(message)
    local may_have_begun = how == 'lost' or started[entry]
    if was_cancelled(entry, h) then
      tally.released = tally.released + 1
    elseif may_have_begun and own_limit(h) == 1 then
      end_at_most_once(entry, message, h)
    elseif may_have_begun and how ~= 'left' then
      suspect(entry, message, h)
    else
      tally.released = tally.released + 1
      let_go_for_now(entry, h)
      make_ready(entry, h, 'LPUSH')
    end
  end
end
local left = redis.call('LLEN', processing)
if left == 0 then redis.call('ZREM', LEASES, worker) end
give_room()
mark()
return {'ok', tally.released, tally.suspected, tally.charged, tally.buried, left}
