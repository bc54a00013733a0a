-- part settle: applies verdicts to entries that `worker` holds. A verdict on an entry that it does not hold writes nothing.
-- Three arguments each: entry, "verdict number type", blob. The second is the same for most verdicts of a batch, so that
-- the server reads and keeps it once (docs/decisions/0012).
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
  if number > 0 then make_scheduled(entry, h, from_now + number) else make_ready(entry, h, 'RPUSH') end
end

function MOVE.snooze(entry, message, h, number)
  set_flag(h, SUSPECT, false)
  redis.call('HSET', TASKS, entry, write_head(h, message))
  if number > 0 then make_scheduled(entry, h, from_now + number) else make_ready(entry, h, 'RPUSH') end
end

function MOVE.bury(entry, message, h, _, blob) bury(entry, message, h, blob) end

function MOVE.release(entry, _, h) make_ready(entry, h, 'LPUSH') end

-- A suspect waits in its lane as well: among the suspects it would wake the workers that do not know it for ever.
function MOVE.park(entry, message, h, number)
  redis.call('HSETNX', LANES, h.lane, 'parked ' .. string.format('%.0f', number))
  if has_flag(h, SUSPECT) then
    set_flag(h, SUSPECT, false)
    redis.call('HSET', TASKS, entry, write_head(h, message))
  end
  make_ready(entry, h, 'RPUSH')
end

-- Takes the entries of the verdicts from ARGV[first] on out of the worker's list. Returns the positions of those that it
-- held, and how many it did not. Mostly it settles all that it holds: then the list goes as a whole.
local function take_settled(processing, first)
  local given, held, mine, found, late = ARGV, {}, {}, 0, 0
  local list = redis.call('LRANGE', processing, 0, -1)
  for i = 1, #list do held[list[i]] = true end
  for i = first, #given - 2, 3 do
    local entry = given[i]
    if held[entry] then
      held[entry], found = nil, found + 1
      mine[found] = i
    else
      late = late + 1
    end
  end
  if found == #list then
    redis.call('DEL', processing)
  elseif found > 4 then
    local rest = {}
    for i = 1, #list do
      if held[list[i]] then rest[#rest + 1] = list[i] end
    end
    redis.call('DEL', processing)
    redis.call('RPUSH', processing, unpack(rest))
  else
    for _, i in ipairs(mine) do redis.call('LREM', processing, 1, given[i]) end
  end
  return mine, late
end

local function read_kind(text)
  local word, number, type = string.match(text, '^(%S+) (%d+) (.*)$')
  return {word = word, number = tonumber(number), ttl = number, type = type, completed = 0,
    is_plain = word == 'complete', completes = word == 'complete' or word == 'complete_again'}
end

-- settle: ARGV[first] and on. Returns how many verdicts came too late: the entry is not held any more.
local function settle(worker, first)
  if #ARGV < first then return 0 end
  local mine, late = take_settled(PROCESSING .. worker, first)
  local given, kinds, done, completed, number = ARGV, {}, {}, {}, 0
  for _, i in ipairs(mine) do
    local entry, text, blob = given[i], given[i + 1], given[i + 2]
    local kind = kinds[text]
    if not kind then
      kind = read_kind(text)
      kinds[text] = kind
    end
    if kind.completes then
      local id = id_of(entry)
      write_result(id, blob, kind.ttl)
      if not kind.is_plain then redis.call('PEXPIRE', ATTEMPTS .. id, kind.ttl) end
      if id ~= entry then redis.call('HDEL', GENERATIONS, id) end
      number = number + 1
      done[number], completed[number] = entry, id
      kind.completed = kind.completed + 1
    else
      local message = redis.call('HGET', TASKS, entry)
      if message then MOVE[kind.word](entry, message, read_head(message), kind.number, blob) end
    end
  end
  if #done > 0 then
    redis.call('HDEL', TASKS, unpack(done))
    redis.call('LPUSH', COMPLETED, unpack(completed))
    redis.call('LTRIM', COMPLETED, 0, COMPLETED_LENGTH - 1)
    for _, kind in pairs(kinds) do
      if kind.completed > 0 then count('completed', kind.type, kind.completed) end
    end
  end
  return late
end
