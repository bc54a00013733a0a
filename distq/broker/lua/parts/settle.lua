-- part settle: applies verdicts to entries that `worker` holds. A verdict on an entry that it does not hold writes nothing.
-- Five arguments each: entry verdict type number blob
--   complete          number: result ttl ms, blob: result           active -> completed
--   complete_again    the same, for a task that has records of earlier attempts
--   retry             number: delay ms, blob: attempt record         active -> scheduled | queued, attempt + 1
--   snooze            number: delay ms                               active -> scheduled | queued, costs no attempt
--   bury              blob: attempt record                           active -> dead
--   release                                                          active -> queued, in front
--   park              number: ms to wait for a worker that knows it  active -> queued in the lane of its type
local MOVE = {}

function MOVE.retry(entry, message, h, number, blob)
  h.attempt = h.attempt + 1
  set_flag(h, SUSPECT, false)
  write_attempt(id_of(entry), blob, DEAD_AGE + number)
  count('retried', h.type, 1)
  redis.call('HSET', TASKS, entry, write_head(h, message))
  if number > 0 then make_scheduled(entry, h, now + number) else make_ready(entry, h, 'RPUSH') end
end

function MOVE.snooze(entry, message, h, number)
  set_flag(h, SUSPECT, false)
  redis.call('HSET', TASKS, entry, write_head(h, message))
  if number > 0 then make_scheduled(entry, h, now + number) else make_ready(entry, h, 'RPUSH') end
end

function MOVE.bury(entry, message, h, _, blob) bury(entry, message, h, blob) end

function MOVE.release(entry, _, h) make_ready(entry, h, 'LPUSH') end

function MOVE.park(entry, _, h, number)
  redis.call('HSETNX', LANES, h.lane, 'parked ' .. string.format('%.0f', number))
  make_ready(entry, h, 'RPUSH')
end

-- settle: ARGV[first] and on. Returns how many verdicts came too late: the entry is not held any more.
local function settle(worker, first)
  local processing = PROCESSING .. worker
  local done, completed, counts, late = {}, {}, {}, 0
  for i = first, #ARGV - 4, 5 do
    local entry, verdict, type = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    if redis.call('LREM', processing, 1, entry) == 0 then
      late = late + 1
    elseif verdict == 'complete' or verdict == 'complete_again' then
      local id = id_of(entry)
      write_result(id, ARGV[i + 4], ARGV[i + 3])
      if verdict == 'complete_again' then redis.call('PEXPIRE', ATTEMPTS .. id, ARGV[i + 3]) end
      if id ~= entry then redis.call('HDEL', GENERATIONS, id) end
      done[#done + 1], completed[#completed + 1] = entry, id
      counts[type] = (counts[type] or 0) + 1
    else
      local message = redis.call('HGET', TASKS, entry)
      MOVE[verdict](entry, message, read_head(message), tonumber(ARGV[i + 3]), ARGV[i + 4])
    end
  end
  if #done > 0 then
    redis.call('HDEL', TASKS, unpack(done))
    redis.call('LPUSH', COMPLETED, unpack(completed))
    redis.call('LTRIM', COMPLETED, 0, COMPLETED_LENGTH - 1)
    for type, number in pairs(counts) do count('completed', type, number) end
  end
  return late
end
