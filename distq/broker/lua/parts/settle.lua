-- part settle: applies verdicts to entries that `worker` holds. A verdict on an entry that it does not hold writes nothing.
-- Three arguments each: entry, "verdict number type", blob. The second is the same for most verdicts of a batch, so that
-- the server reads and keeps it once (docs/decisions/0012).
--   complete          number: result ttl ms, blob: result           active -> completed
--   complete_again    the same, for a task that has records of earlier attempts, or a memory
--                     Behind both words may stand `+most+ms`: it is listed (parts/listed.lua), and the blob begins with an f64
--   retry             number: delay ms, blob: attempt record         active -> scheduled | queued, attempt + 1
--   snooze            number: delay ms                               active -> scheduled | queued, costs no attempt
--                     blob: "", or msgpack of a budget that is parked for so long, and the key; a task that takes from it
--                     waits for that in front of its lane
--   bury              blob: attempt record                           active -> dead
--   release           number: 0, or what the message is to say of    active -> queued, in front
--                     how often it may kill its process
--   park              number: ms to wait for a worker that knows it  active -> queued in the lane of its type

-- Does somebody want it to end although it was running? Then it does not wait again.
local function was_cancelled(entry, h)
  local who = redis.call('GET', CANCEL .. entry)
  if who then finish(entry, h, 'cancelled', who) end
  return who
end

-- Whatever becomes of the task whose handler has heard that it was too much.
local function park_budget(parked, ms)
  local budget, key = unpack(cmsgpack.unpack(parked))
  flows().park_budget(budget, key, ms)
end

-- The moves by their words, but for the two that complete. Their functions are made only for a step that needs one.
local function make_moves()
  local MOVE = {}

  function MOVE.retry(entry, message, h, number, blob)
    h.attempt = h.attempt + 1
    clear_of_suspicion(h)
    write_attempt(id_of(entry), blob, DEAD_AGE + number)
    let_go_for_now(entry, h)
    keep_memory(entry, h, DEAD_AGE + number)
    count('retried', h.type, 1)
    redis.call('HSET', TASKS, entry, write_head(h, message))
    if number > 0 then make_scheduled(entry, h, from_now + number) else make_ready(entry, h, 'RPUSH') end
  end

  -- Whether the task takes from this budget.
  local function pays(h, budget, key)
    for _, use in ipairs(h.budgets or {}) do
      if use[1] == budget and use[2] == key then return redis.call('HGET', LANES, h.flow) == 'flow' end
    end
  end

  function MOVE.snooze(entry, message, h, number, blob)
    clear_of_suspicion(h)
    let_go_for_now(entry, h)
    keep_memory(entry, h, DEAD_AGE + number)
    redis.call('HSET', TASKS, entry, write_head(h, message))
    if blob ~= '' and pays(h, unpack(cmsgpack.unpack(blob))) then
      make_ready(entry, h, 'LPUSH')
    elseif number > 0 then make_scheduled(entry, h, from_now + number) else make_ready(entry, h, 'RPUSH') end
  end

  function MOVE.bury(entry, message, h, _, blob) bury(entry, message, h, blob) end

  function MOVE.release(entry, message, h, number)
    if number > 0 then
      set_own_limit(h, number)
      redis.call('HSET', TASKS, entry, write_head(h, message))
    end
    let_go_for_now(entry, h)
    make_ready(entry, h, 'LPUSH')
  end

  -- A suspect waits in its lane as well: among the suspects it would wake the workers that do not know it for ever.
  function MOVE.park(entry, message, h, number)
    if has_flag(h, SUSPECT) then
      clear_of_suspicion(h)
      redis.call('HSET', TASKS, entry, write_head(h, message))
    end
    let_go(entry)
    redis.call('HSETNX', LANES, h.flow, 'parked ' .. string.format('%.0f', number))
    make_ready(entry, h, 'RPUSH')
  end

  return MOVE
end

-- Whether these are verdicts on the first that the worker holds, or on all, in its order: mostly so.
local function settles_first(held, first, number)
  if number > #held then return false end
  local given, at = ARGV, first
  for i = 1, number do
    if held[i] ~= given[at] then return false end
    at = at + 3
  end
  return true
end

-- Takes the entries of the verdicts from ARGV[first] on out of the worker's list. Returns the positions of those that it
-- held, and how many it did not.
local function take_settled(processing, first)
  local given, mine, found, late = ARGV, {}, 0, 0
  local list, held = redis.call('LRANGE', processing, 0, -1), {}
  local number = math.floor((#given - first + 1) / 3)
  if settles_first(list, first, number) then
    if number == #list then redis.call('DEL', processing) else redis.call('LTRIM', processing, number, -1) end
    for i = 1, number do mine[i] = first + 3 * i - 3 end
    return mine, 0
  end
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
  local kind = {word = word, number = tonumber(number), type = type, is_plain = word == 'complete',
    completes = word == 'complete' or word == 'complete_again', results = {}, size = 0}
  if not kind.is_plain then
    local plain, most, ms = string.match(word, '^([%l_]+)%+(%d+)%+(%d+)$')
    if plain then kind.word, kind.completes, kind.most, kind.ms, kind.listed = plain, true, tonumber(most), tonumber(ms), {} end
  end
  return kind
end

-- settle: ARGV[first] and on. Returns how many verdicts came too late: the entry is not held any more.
local function settle(worker, first)
  if #ARGV < first then return 0 end
  local mine, late = take_settled(PROCESSING .. worker, first)
  local given, kinds, done, completed, number, find = ARGV, {}, {}, {}, 0, string.find
  local moves, listing
  for _, i in ipairs(mine) do
    local entry, text, blob = given[i], given[i + 1], given[i + 2]
    local kind = kinds[text]
    if not kind then
      kind = read_kind(text)
      kinds[text] = kind
    end
    if kind.completes then
      local id, results, size = entry, kind.results, kind.size + 2
      if find(entry, ' ', 1, true) then
        id = id_of(entry)
        redis.call('HDEL', GENERATIONS, id)
      end
      if not kind.is_plain then
        if kind.word == 'complete_again' then
          redis.call('PEXPIRE', ATTEMPTS .. id, kind.number)
          redis.call('DEL', MEMORY .. id)
        end
        if kind.most then
          listing = listing or make_listing(worker)
          blob = listing.note(kind, entry, id, blob)
        end
      end
      results[size - 1], results[size], kind.size = id, blob, size
      number = number + 1
      done[number], completed[number] = entry, id
    else
      local message = redis.call('HGET', TASKS, entry)
      moves = moves or make_moves()
      if message then
        local h = read_head(message)
        if kind.word == 'snooze' and blob ~= '' then park_budget(blob, kind.number) end
        if kind.word == 'bury' or not was_cancelled(entry, h) then moves[kind.word](entry, message, h, kind.number, blob) end
      end
    end
  end
  if number == 0 then return late end
  if listing then listing.finish(kinds) end
  redis.call('HDEL', TASKS, unpack(done))
  if redis.call('EXISTS', HELD, NAMED) > 0 then
    for i = 1, number do
      let_go(done[i])
      free_name(done[i], NAMED)
    end
  end
  for _, kind in pairs(kinds) do
    if kind.size > 0 then
      keep(kind.results, kind.number)
      count('completed', kind.type, kind.size / 2)
      if not kind.most then
        local ids = completed
        if kind.size < 2 * number then
          ids = {}
          for i = 1, kind.size, 2 do ids[#ids + 1] = kind.results[i] end
        end
        local first = math.max(1, #ids - COMPLETED_LENGTH + 1)
        ids[#ids + 1] = table.concat({kind.type, time[1], #ids - first + 1, worker}, ' ')
        redis.call('LPUSH', COMPLETED, unpack(ids, first))
      end
    end
  end
  redis.call('LTRIM', COMPLETED, 0, 2 * COMPLETED_LENGTH - 1)
  return late
end
