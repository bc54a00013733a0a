-- settle: active -> completed | scheduled | queued | dead | cancelled
-- A supervisor settles for its child that is busy: what the child has finished, and what it has not started goes back.
-- KEYS prefix
-- ARGV worker, number (of the supervisor's own, rising), flying, kept, entries…, then three per verdict (parts/settle.lua)
--   flying: 0, or the number of the step whose answer the child does not read: then all that the worker holds goes back
--   but the `kept` entries that follow and those with a verdict, unless the child has made another step since
-- returns {"ok" | "gone" | "stale", late verdicts, number of the worker's last step}
-- uses clock head limit wake flow ready shelves unique endings listed settle room
local worker, number, flying, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local state = redis.call('HMGET', WORKER .. worker, 'settled', 'step')
if not state[1] then return {'gone', 0, 0} end
if number <= tonumber(state[1]) then return {'stale', 0, 0} end
redis.call('ZREM', WAKE, 'w')
local step = tonumber(state[2])
if step <= flying then
  local keep, processing = {}, PROCESSING .. worker
  for i = 5, 4 + kept do keep[ARGV[i]] = true end
  for i = 5 + kept, #ARGV, 3 do keep[ARGV[i]] = true end
  local held = redis.call('LRANGE', processing, 0, -1)
  for i = #held, 1, -1 do
    local message = not keep[held[i]] and redis.call('HGET', TASKS, held[i])
    if message then
      redis.call('LREM', processing, 1, held[i])
      local h = read_head(message)
      if not was_cancelled(held[i], h) then
        let_go_for_now(held[i], h)
        make_ready(held[i], h, 'LPUSH')
      end
    end
  end
  redis.call('HSET', WORKER .. worker, 'reserved', 0)
end
local late = settle(worker, 5 + kept) -- afterwards: what is released was in front of what the child does not read
redis.call('HSET', WORKER .. worker, 'settled', number)
give_room()
mark()
return {'ok', late, step}
