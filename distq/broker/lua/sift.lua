-- sift: (read only)
-- Looks at live tasks, a page at a time, and gives those that meet all conditions. A task that is there all the time is
-- looked at; one may be met twice.
-- KEYS prefix
-- ARGV cursor ("0" at first), msgpack map of conditions: states, types, levels, keys (of each one must hold; "a*": begins
--   so), error (part of the last one), since, older (ms ago), before (ms: when it was called); calls: with messages
-- returns {next cursor ("0" at the end), now ms, how many were looked at, then per task: id, state, type, priority, attempt,
--   ms of its call, ms when it is due or 0, last error, message or ''}
-- uses clock head limit held
local wanted = cmsgpack.unpack(ARGV[2])

local function is_one_of(values, text)
  if not values then return true end
  for _, value in ipairs(values) do
    if value == text then return true end
    if string.sub(value, -1) == '*' and string.sub(text, 1, #value - 1) == string.sub(value, 1, -2) then return true end
  end
  return false
end

local function state_of(entry, h)
  local due = redis.call('ZSCORE', DELAYED, entry)
  local state = due and 'scheduled' or is_held(entry) and 'running' or 'queued'
  local is_meant = is_one_of(wanted.states, state)
    or (state ~= 'running' and h.attempt > 0 and is_one_of(wanted.states, 'retrying'))
  return is_meant and state, tonumber(due or 0)
end

local function last_error(id, h)
  if h.attempt == 0 and not has_flag(h, HAS_RECORDS) then return '' end
  local raw = redis.call('LINDEX', ATTEMPTS .. id, -1)
  local is_read, record = pcall(cmsgpack.unpack, raw or '')
  if not is_read or type(record) ~= 'table' then return '' end
  return tostring(record.type or '') .. ': ' .. tostring(record.message or '')
end

local function is_in_time(h)
  return not (wanted.since and h.created < now - wanted.since) and not (wanted.older and h.created > now - wanted.older)
    and not (wanted.before and h.created > wanted.before)
end

local page = redis.call('HSCAN', TASKS, ARGV[1], 'COUNT', 200)
local entries, found = page[2], {page[1], now, #page[2] / 2}
for i = 1, #entries, 2 do
  local h = read_head(entries[i + 1])
  if is_one_of(wanted.types, limited_type(h.type)) and is_one_of(wanted.levels, h.level) and is_one_of(wanted.keys, h.own)
      and is_in_time(h) then
    local id, state, due = id_of(entries[i]), state_of(entries[i], h)
    local said = state and last_error(id, h)
    if state and (not wanted.error or string.find(string.lower(said), wanted.error, 1, true)) then
      local message = wanted.calls and entries[i + 1] or ''
      for _, value in ipairs({id, state, h.type, h.level, h.attempt, h.created, due, string.sub(said, 1, 500), message}) do
        found[#found + 1] = value
      end
    end
  end
end
return found
