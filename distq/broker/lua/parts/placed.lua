-- part placed: whether a live entry is where it can be.
local function has(list, entry) return redis.call('LPOS', list, entry) and true or false end

local function is_placed(entry, h)
  local held_back = lane_of_type(h) .. ' ' .. HELD_BACK
  if redis.call('ZSCORE', DELAYED, entry) then return true end
  for _, worker in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
    if has(PROCESSING .. worker, entry) then return true end
  end
  return has(QUEUE .. h.level, entry) or has(SUSPECTS .. h.level, entry) or has(LANE .. h.level .. ':' .. h.lane, entry)
    or has(LANE .. h.level .. ':' .. h.flow, entry) or has(LANE .. h.level .. ':' .. held_back, entry)
end
