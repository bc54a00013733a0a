-- part history: what happened when, in slots of time (docs/decisions/0059). Of each range there is one HASH for a stretch
-- as long as the range, so that the last two hold all of it. In a slot, the field "slot" has what happened in the queue, by
-- the ledger, and "slot type" the attempts of a type, each as a msgpack array of numbers.
local RANGES = {{300, 10}, {3600, 60}, {86400, 900}, {604800, 7200}} -- seconds: of a range, and of a slot in it
local NOTED = {enqueued = 2, completed = 3, retried = 4, dead = 5, cancelled = 6, expired = 7} -- 1: types that have a field
local SLOT_TYPES = 100 -- further ones are counted together

local function stretch_of(range, ago) return HISTORY .. range .. ':' .. math.floor(now / 1000 / range) - ago end

local function sum(raw, numbers)
  local sums = raw and cmsgpack.unpack(raw) or {}
  for i, by in ipairs(numbers) do sums[i] = (sums[i] or 0) + by end
  return sums
end

-- The fields of the slot of now with what is to be added: `queue`, numbers; `types`, {type, numbers, …}.
local function new_fields(place, width, queue, types)
  local slot = math.floor(now / 1000 / width)
  local names = {slot, slot .. ' (other)'}
  for i = 1, #types, 2 do names[#names + 1] = slot .. ' ' .. types[i] end
  local found, fields = redis.call('HMGET', place, unpack(names)), {}
  local own, others = sum(found[1], queue), found[2]
  for i = 1, #types, 2 do
    local n = (i + 5) / 2
    if types[i] == '(other)' or not found[n] and own[1] >= SLOT_TYPES then
      others = cmsgpack.pack(sum(others, types[i + 1]))
    else
      if not found[n] then own[1] = own[1] + 1 end
      fields[#fields + 1], fields[#fields + 2] = names[n], cmsgpack.pack(sum(found[n], types[i + 1]))
    end
  end
  if others then fields[#fields + 1], fields[#fields + 2] = names[2], others end
  fields[#fields + 1], fields[#fields + 2] = slot, cmsgpack.pack(own)
  return fields
end

local function add_to_history(queue, types)
  local fields = {}
  for i, range in ipairs(RANGES) do fields[i] = new_fields(stretch_of(range[1], 0), range[2], queue, types) end
  for i, range in ipairs(RANGES) do
    redis.call('HSET', stretch_of(range[1], 0), unpack(fields[i]))
    redis.call('PEXPIREAT', stretch_of(range[1], 0), (math.floor(now / 1000 / range[1]) + 2) * range[1] * 1000)
  end
end

-- What the ledger has counted since it was noted last; of a queue of an earlier release that was never, from now on, and so
-- where somebody has made something else of the note, or of the ledger.
local function note_ledger()
  local counts, totals = redis.call('HGETALL', LEDGER), {0, 0, 0, 0, 0, 0, 0}
  for i = 1, #counts, 2 do
    local at = NOTED[string.match(counts[i], '^%S+')]
    if at then totals[at] = totals[at] + (tonumber(counts[i + 1]) or 0) end
  end
  local noted = redis.call('HGET', META, 'noted')
  local is_whole, before = pcall(cmsgpack.unpack, noted or '')
  if not is_whole or type(before) ~= 'table' then before = totals end
  local news, number = {}, 0
  for i, total in ipairs(totals) do
    news[i] = math.max(0, total - (tonumber(before[i]) or 0))
    number = number + news[i]
  end
  if number > 0 then add_to_history(news, {}) end
  local now_noted = cmsgpack.pack(totals)
  if now_noted ~= noted then redis.call('HSET', META, 'noted', now_noted) end
end
