-- schedules: (schedules only)
-- Reads schedules: one, or a page of them.
-- KEYS prefix
-- ARGV "name", name | "page", cursor
-- returns {now ms, next cursor ("0": no more), then name, "" | "orphaned", and fields and values in a list, by turns}
-- uses clock
local cursor, names = '0', {ARGV[2]}
if ARGV[1] == 'page' then cursor, names = unpack(redis.call('SSCAN', SCHEDULES, ARGV[2], 'COUNT', 200)) end
local found = {now, cursor}
for _, name in ipairs(names) do
  local fields = redis.call('HGETALL', SCHEDULE .. name)
  if #fields > 0 then
    local state = redis.call('ZSCORE', ORPHANED, name) and 'orphaned' or ''
    found[#found + 1], found[#found + 2], found[#found + 3] = name, state, fields
  end
end
return found
