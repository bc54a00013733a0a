-- part override: limits that people set while everything runs win over the declared ones until they are cleared.
-- OVERRIDES holds type -> msgpack {rate, r: "interval_us burst", "" none; m, mk: number, 0 none; what is not said is as
-- declared; by, at, declared = {rate, flow}}. The declared ones are kept up to date in it (register.lua).
local function override_of(type)
  local packed = redis.call('HGET', OVERRIDES, limited_type(type))
  return packed and cmsgpack.unpack(packed) or nil
end

local function write_override(type, found) redis.call('HSET', OVERRIDES, limited_type(type), cmsgpack.pack(found)) end

-- The rate and the flow that hold.
local function overridden(found, rate, flow)
  if found.rate ~= nil then rate = found.rate end
  if found.m == nil and found.mk == nil and found.r == nil then return rate, flow end
  local policy = flow ~= '' and cmsgpack.unpack(flow) or {}
  for _, name in ipairs({'m', 'mk', 'r'}) do
    if found[name] == 0 or found[name] == '' then policy[name] = nil else policy[name] = found[name] or policy[name] end
  end
  return rate, next(policy) and cmsgpack.pack(policy) or ''
end

-- The same for a declaration, which is noted.
local function declared_or_overridden(type, rate, flow)
  local found = override_of(type)
  if not found then return rate, flow end
  if found.declared.rate ~= rate or found.declared.flow ~= flow then
    found.declared = {rate = rate, flow = flow}
    write_override(type, found)
  end
  return overridden(found, rate, flow)
end
