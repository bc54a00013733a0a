-- recover: active -> queued | dead, live worker -> none
-- Takes back what a worker holds; from now on this name settles nothing. Verdicts that it left behind are applied first.
--   left   it gives back on its own, or was stopped by its supervisor: nothing is charged
--   died   its supervisor saw it die: what it had started is suspect; what it ran alone is charged one delivery
--   lost   its lease ended unrenewed (`expected`): all is suspect; what was reserved to run alone is charged
-- KEYS prefix
-- ARGV worker, how, expected lease ms or "", max deliveries, record, step, doubtful, ran, number of started entries, started…,
--   three per verdict
--   record: msgpack of the crash, for the attempts of what is charged
--   step, doubtful: if a later step was applied, then so were the first so many verdicts
--   ran: how many tasks its process ran, in all queues
-- returns {"ok" | "alive" | "gone", released, suspected, charged, buried, still held}
-- uses clock keeper head limit wake ready shelves endings settle
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
local is_current = redis.call('HGET', WORKER .. worker, 'step') == ARGV[6]
local doubtful, ran_in_all, number = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local started = {}
for i = 10, 9 + number do started[ARGV[i]] = true end
redis.call('ZREM', WAKE, 'w')
redis.call('DEL', WORKER .. worker)
settle(worker, 10 + number + (is_current and 0 or 3 * doubtful))

local tally = {released = 0, suspected = 0, charged = 0, buried = 0}
local entries = redis.call('LRANGE', processing, -500, -1)
if #entries > 0 then redis.call('LTRIM', processing, 0, -#entries - 1) end
for i = #entries, 1, -1 do
  local entry = entries[i]
  local message = redis.call('HGET', TASKS, entry)
  if message then
    local h = read_head(message)
    local ran = how == 'lost' or (how == 'died' and started[entry])
    local ran_alone = ran and (has_flag(h, SUSPECT) or (how == 'died' and ran_in_all == 1))
    if not ran then
      tally.released = tally.released + 1
    else
      set_flag(h, SUSPECT, true)
      if ran_alone then
        h.deliveries = h.deliveries + 1
        write_attempt(id_of(entry), record, DEAD_AGE)
        tally.charged = tally.charged + 1
      else
        tally.suspected = tally.suspected + 1
      end
    end
    message = write_head(h, message)
    if ran_alone and h.deliveries >= max_deliveries then
      tally.buried = tally.buried + 1
      bury(entry, message, h, cmsgpack.pack({outcome = 'lost', type = 'WorkerKilled', attempt = h.attempt + 1, at = now,
        delivery = h.deliveries, message = 'killed its worker ' .. h.deliveries .. ' times'}))
    else
      redis.call('HSET', TASKS, entry, message)
      make_ready(entry, h, 'LPUSH')
    end
  end
end
local left = redis.call('LLEN', processing)
if left == 0 then redis.call('ZREM', LEASES, worker) end
mark()
return {'ok', tally.released, tally.suspected, tally.charged, tally.buried, left}
