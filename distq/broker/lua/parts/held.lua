-- part held: what workers hold. It is read once, for scripts that ask of many.
local held

local function is_held(entry)
  if not held then
    held = {}
    for _, worker in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
      for _, one in ipairs(redis.call('LRANGE', PROCESSING .. worker, 0, -1)) do held[one] = true end
    end
  end
  return held[entry] or false
end
