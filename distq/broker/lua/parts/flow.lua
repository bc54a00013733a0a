-- part flow: what decides whether a task may be handed over, beyond the rate of its type (docs/decisions/0041).
-- A type with such a policy is a flow: its tasks wait in one lane per key and priority. TURNS says which lanes may have
-- their turn, and in which order; BLOCKED holds those that may not, and the flow itself as "g". What is blocked waits for a
-- time (RESUMES) or for a gate to open (WAITERS), so nothing that cannot run is looked at again before that.
-- A flow may be handed over in batches (docs/decisions/0051): a lane waits until it holds n entries, or its first one has
-- waited for w ms. FILLING says since when that one has.
local PER_LOOK = 100 -- lanes and ghosts
local TAKEN_IN = 5 -- times so many, in one look

local function type_of_flow(flow) return limited_type((string.gsub(flow, '^v2/', ''))) end

-- Is its type paused, or that key of it?
local function is_paused(h)
  local type = limited_type(h.type)
  return redis.call('HEXISTS', PAUSED, type) == 1 or redis.call('HEXISTS', PAUSED, type .. ' ' .. h.own) == 1
end

-- Its time is over, whether or not somebody has ended it yet.
local function is_expired(h) return h.expires > 0 and h.expires <= now end

local function make_flows()
  local F, call, policies, changed, limits, granted = {}, redis.call, {}, {}, {}, {}
  local pauses, fills = call('EXISTS', PAUSED) == 1, call('EXISTS', FILLING) == 1

  local function policy_of(type)
    if policies[type] == nil then
      local packed = call('HGET', FLOWS, type)
      policies[type] = packed and cmsgpack.unpack(packed) or {}
    end
    return policies[type]
  end

  -- Read once: nothing else in a script takes its tokens.
  local function limit_of(type)
    if limits[type] == nil then limits[type] = read_limit(type) or false end
    return limits[type]
  end

  local function lane_list(level, flow, key)
    return LANE .. level .. ':' .. flow .. (key == '' and '' or ' ' .. key)
  end

  local function lane_at(level, flow, key) return table.concat({level, flow, key}, ' ') end

  local function count_waiting(level, flow, by)
    local field = level .. ' ' .. flow
    if call('HINCRBY', FLOWING, field, by) <= 0 then call('HDEL', FLOWING, field) end -- below 0: see F.mend
  end

  -- A lane comes back one turn behind the one whose turn it is: with a task now and then it gets no more than its share.
  local function join(level, flow, key)
    local turns = TURNS .. level .. ':' .. flow
    local first = call('ZRANGE', turns, 0, 0, 'WITHSCORES')[2]
    call('ZADD', turns, 'NX', first and first + 1 or 0, key)
    if call('HEXISTS', BLOCKED .. level .. ':' .. flow, 'g') == 0 then call('SADD', LANES_AT .. level, flow) end
  end

  local function leave(level, flow, key)
    local turns = TURNS .. level .. ':' .. flow
    call('ZREM', turns, key)
    if call('EXISTS', turns) == 0 then call('SREM', LANES_AT .. level, flow) end
  end

  local function forget_waiter(member, gate)
    if gate == '' then call('ZREM', RESUMES, member) else call('SREM', WAITERS .. gate, member) end
  end

  -- `field`: "g", or ":" and the key of a lane. `gate`: what it waits for, or "" for a time.
  local function block(level, flow, field, gate, resumes)
    if field == 'g' then call('SREM', LANES_AT .. level, flow) else leave(level, flow, string.sub(field, 2)) end
    local blocked, member = BLOCKED .. level .. ':' .. flow, table.concat({level, flow, field}, ' ')
    local before = call('HGET', blocked, field) -- another release does not know that, and says that it can run
    if before and before ~= gate then forget_waiter(member, before) end
    call('HSET', blocked, field, gate)
    if gate == '' then
      call('ZADD', RESUMES, resumes, member)
      announce(resumes)
    else
      call('SADD', WAITERS .. gate, member)
    end
  end

  local function unblock(level, flow, field)
    local blocked = BLOCKED .. level .. ':' .. flow
    local gate = call('HGET', blocked, field)
    if not gate then return end
    call('HDEL', blocked, field)
    forget_waiter(table.concat({level, flow, field}, ' '), gate)
    if field ~= 'g' then
      local key = string.sub(field, 2)
      if call('EXISTS', lane_list(level, flow, key)) == 1 then join(level, flow, key) end
    elseif call('EXISTS', TURNS .. level .. ':' .. flow) == 1 then
      call('SADD', LANES_AT .. level, flow)
    end
  end

  local function unblock_member(member)
    local level, flow, field = string.match(member, '^(%S+) (%S+) (.*)$')
    unblock(level, flow, field)
  end

  -- The time has come for some.
  function F.resume(most)
    for _, member in ipairs(call('ZRANGEBYSCORE', RESUMES, '-inf', now, 'LIMIT', 0, most)) do unblock_member(member) end
  end

  function F.open(gate)
    for _, member in ipairs(call('SMEMBERS', WAITERS .. gate)) do unblock_member(member) end
  end

  -- Its declaration has changed: what waits for a time of the old one looks again. Where that is very many lanes, each
  -- waits for its time.
  function F.reconsider(flow)
    for _, level in ipairs(LEVELS) do
      local blocked = BLOCKED .. level .. ':' .. flow
      local fields = call('HLEN', blocked) <= 10 * PER_LOOK and call('HGETALL', blocked) or {'g', ''}
      for i = 1, #fields, 2 do
        if fields[i + 1] == '' or fields[i] == 'g' then unblock(level, flow, fields[i]) end
      end
    end
  end

  function F.enter(entry, h, push)
    local holds = call('HEXISTS', HELD, entry) == 1 -- it is in order, and before all that came after it
    local list, field = lane_list(h.level, h.flow, h.key), ':' .. h.key
    local length = call(holds and 'LPUSH' or push, list, entry)
    count_waiting(h.level, h.flow, 1)
    local size, goes_on = policy_of(type_of_flow(h.flow)).n, holds
    if size then
      local has_waited = push == 'LPUSH' -- it has been handed over before
      local since = has_waited and 0 or now
      if length == 1 or has_waited then
        call('HSET', FILLING, lane_at(h.level, h.flow, h.key), string.format('%.0f', since))
        fills = true
      end
      goes_on = goes_on or has_waited or length == size
    end
    if call('HEXISTS', BLOCKED .. h.level .. ':' .. h.flow, field) == 1 then
      if goes_on then unblock(h.level, h.flow, field) end
    elseif length == 1 then
      join(h.level, h.flow, h.key)
    end
    if holds then unblock(h.level, h.flow, 'g') end
  end

  -- A release that does not see lanes of keys takes what is in them for lost, and puts it where it would wait.
  function F.is_elsewhere(entry, h)
    if granted[entry] or call('ZSCORE', DELAYED, entry) then return true end
    for _, worker in ipairs(call('ZRANGE', LEASES, 0, -1)) do
      if call('LPOS', PROCESSING .. worker, entry) then return true end
    end
    local flow, lane = lane_of_type(h)
    return (call('LPOS', SUSPECTS .. h.level, entry) or call('LPOS', LANE .. h.level .. ':' .. lane, entry)
      or call('LPOS', lane_list(h.level, flow, HELD_BACK), entry)) and true or false
  end

  -- The lane without a key holds what is not of this flow yet: its type has become one, or a release that knows no flows has
  -- put there what it recovered, or whose time had come. It goes where it belongs. How many there were?
  local function take_in(level, flow)
    local list = lane_list(level, flow, '')
    local number = call('LLEN', list)
    if number == 0 or call('HEXISTS', BLOCKED .. level .. ':' .. flow, ':') == 1
        or call('ZSCORE', TURNS .. level .. ':' .. flow, '') then return 0 end
    local first = call('HGET', TASKS, call('LINDEX', list, 0))
    if string.sub(flow, 1, 3) ~= 'v2/' or (first and read_head(first).key == '') then
      count_waiting(level, flow, number)
      join(level, flow, '')
      return number
    end
    for _, entry in ipairs(call('LPOP', list, PER_LOOK)) do
      local message = call('HGET', TASKS, entry)
      local h = message and read_head(message)
      if not message then
        call('SREM', GHOSTS .. level, entry)
      elseif not F.is_elsewhere(entry, h) then
        h.flow = flow
        F.enter(entry, h, 'RPUSH')
      end
    end
    return number
  end

  -- Buckets of keys and budgets: tat_us, as in parts/limit.lua, in a key that ends when the bucket is full again.
  local function bucket(name, declared)
    local interval, burst = string.match(declared, '^(%S+) (%S+)$')
    interval, burst = tonumber(interval), tonumber(burst)
    local tat, furthest = tonumber(call('GET', BUCKET .. name) or 0), now_us + burst * interval
    if tat > furthest then -- of a slower rate, or the clock was set back
      tat = furthest
      call('SET', BUCKET .. name, string.format('%.3f', tat), 'PX', math.ceil((tat - now_us) / 1000) + 1)
    end
    return {name = name, interval = interval, room = burst * interval, tat = math.max(tat, now_us)}
  end

  -- The ms at which it has so many tokens, if not now.
  local function lacks(found, cost)
    local ready = found.tat + cost * found.interval - found.room
    if ready > now_us + 1e-3 then return math.ceil(ready / 1000) end
  end

  local function pour(found, cost)
    local tat = found.tat + cost * found.interval
    call('SET', BUCKET .. found.name, string.format('%.3f', tat), 'PX', math.ceil((tat - now_us) / 1000) + 1)
  end

  -- What a use {name, key, cost…} of a budget takes from, and until when nobody may. More than a bucket can hold, of before
  -- it was declared smaller, is all of it. Who says no cost pays 1.
  local function add_budget(found, use, declared, scope)
    for i, text in ipairs(declared) do
      local one = bucket(use[1] .. '!' .. i .. ' ' .. use[2], text)
      found[#found + 1] = {one, math.min(use[2 + i] or 1, one.room / one.interval), scope}
    end
    local till = tonumber(call('GET', BUCKET .. use[1] .. '! ' .. use[2]) or 0)
    if till > now then found[#found + 1] = {nil, 0, scope, till} end
  end

  -- A message that says nothing of its budgets comes from somebody who does not know them: it pays all the same.
  local function uses_of(policy, h)
    if h.budgets or not policy.b then return h.budgets or {} end
    local uses = {}
    for name in pairs(policy.b) do uses[#uses + 1] = {name, ''} end
    return uses
  end

  -- All buckets that a task takes from, each with its scope: "g" or its lane.
  local function buckets_of(policy, type, h)
    local found = {}
    if policy.r then found[1] = {bucket(type .. ' ' .. h.own, policy.r), 1, ':' .. h.key} end
    for _, use in ipairs(uses_of(policy, h)) do
      local packed = call('HGET', BUDGETS, use[1])
      add_budget(found, use, packed and cmsgpack.unpack(packed) or {}, use[2] == '' and 'g' or ':' .. h.key)
    end
    return found
  end

  local function pour_all(found)
    for _, each in ipairs(found) do
      if each[1] and each[2] > 0 then pour(each[1], each[2]) end
    end
  end

  -- For somebody who is no task. Returns the ms at which it can be taken, or nil: it has been.
  function F.take_budget(use, declared)
    local found, ready = {}, nil
    add_budget(found, use, declared, 'g')
    for _, each in ipairs(found) do
      local resumes = each[4] or lacks(each[1], each[2])
      if resumes then ready = math.max(ready or 0, resumes) end
    end
    if not ready then pour_all(found) end
    return ready
  end

  -- Nobody takes from a budget until then; if that holds for longer already, it stays so.
  function F.park_budget(name, key, ms)
    local place, till = BUCKET .. name .. '! ' .. key, from_now + ms
    if till > tonumber(call('GET', place) or 0) then
      call('SET', place, string.format('%.0f', till), 'PX', string.format('%.0f', ms + 2))
    end
  end

  -- Of a batch that is not full, the ms at which it is handed over as it is; nil: now.
  local function fills_until(policy, level, flow, key)
    if call('LLEN', lane_list(level, flow, key)) >= policy.n then return nil end
    local due = tonumber(call('HGET', FILLING, lane_at(level, flow, key)) or 0) + policy.w
    if due > now then return due end
  end

  -- What keeps a task back: field, gate, ms at which it goes on; nil: nothing. `joins`: a batch that has begun.
  local function closed(type, level, flow, h, entry, joins)
    local policy = policy_of(type)
    local lane, own = ':' .. h.key, type .. ' ' .. h.own
    if pauses then
      if call('HEXISTS', PAUSED, type) == 1 then return 'g', '!paused ' .. type end
      if call('HEXISTS', PAUSED, own) == 1 then return lane, '!paused ' .. own end
    end
    local full_ms = policy.n and not joins and not has_flag(h, SUSPECT) and fills_until(policy, level, flow, h.key)
    if full_ms then return lane, '', full_ms end
    local limit = limit_of(type)
    if limit then
      local free, next_ms = tokens(limit)
      if free < 1 then return 'g', '', next_ms end
    end
    local most = policy.o and 1 or policy.mk
    if (policy.m or most) and call('HEXISTS', HELD, entry) == 0 then
      if policy.m and tonumber(call('HGET', RUNNING, type) or 0) >= policy.m then return 'g', type end
      if most and tonumber(call('HGET', RUNNING, own) or 0) >= most then return lane, own end
    end
    if policy.r or policy.b or h.budgets then
      for _, each in ipairs(buckets_of(policy, type, h)) do
        local resumes = each[4] or lacks(each[1], each[2])
        if resumes then return each[3], '', resumes end
      end
    end
  end

  -- Takes the first one out of a lane; then the lane's turn is over. `cost`: by how much later its next one is.
  local function pop(level, flow, place, cost)
    local turns = TURNS .. level .. ':' .. flow
    call('LPOP', lane_list(level, flow, place.key))
    place.turn = place.turn + cost
    if place.has_more then call('ZADD', turns, place.turn, place.key) else call('ZREM', turns, place.key) end
    if fills and not place.has_more then call('HDEL', FILLING, lane_at(level, flow, place.key)) end
  end

  -- It waited here while its type was paused, and runs alone as before.
  local function be_suspect_again(level, entry, h)
    if not has_flag(h, ISOLATED) then return call('RPUSH', SUSPECTS .. level, entry) end
    call('HSETNX', LANES, ISOLATION, 'isolated')
    call('RPUSH', LANE .. level .. ':' .. ISOLATION, entry)
    call('SADD', LANES_AT .. level, ISOLATION)
    announce_isolation()
    if call('EXISTS', STOPPED) == 0 then call('ZADD', WAKE_GROUP .. 'isolated', 0, 'w') end
  end

  -- The lane whose turn it is, and what is first in it: {key, turn, whether it has more}, entry, message, head. nil: none may
  -- be handed over now; true: nor is that known yet.
  function F.first_open(level, flow)
    local turns, type = TURNS .. level .. ':' .. flow, type_of_flow(flow)
    for _ = 1, PER_LOOK do
      local key, turn = unpack(call('ZRANGE', turns, 0, 0, 'WITHSCORES'))
      local taken = 0
      while not key and taken < TAKEN_IN and take_in(level, flow) > 0 do
        key, turn = unpack(call('ZRANGE', turns, 0, 0, 'WITHSCORES'))
        taken = taken + 1
      end
      if not key and taken == TAKEN_IN then return true end
      if not key then
        call('SREM', LANES_AT .. level, flow)
        return nil
      end
      local entry, second = unpack(call('LRANGE', lane_list(level, flow, key), 0, 1))
      local message = entry and call('HGET', TASKS, entry)
      local place = {key = key, turn = tonumber(turn), has_more = second}
      if not entry then -- another release has taken it
        call('ZREM', turns, key)
        call('HDEL', FILLING, lane_at(level, flow, key))
      elseif not message then
        pop(level, flow, place, 0)
        count_waiting(level, flow, -1)
        call('SREM', GHOSTS .. level, entry)
        if fills then F.end_batch(level, flow, place) end
      else
        local h = read_head(message)
        h.key = key -- where it is, although another release may have put it there
        local field, gate, resumes
        if not is_expired(h) then field, gate, resumes = closed(type, level, flow, h, entry) end -- else it ends as it is taken
        if not field and not has_flag(h, SUSPECT) then return place, entry, message, h end
        if not field then
          pop(level, flow, place, 0)
          count_waiting(level, flow, -1)
          be_suspect_again(level, entry, h)
        else
          block(level, flow, field, gate, resumes)
          if field == 'g' then return nil end
        end
      end
    end
    return true
  end

  -- So many of a lane are handed over together. What runs in order or counts as running does so alone.
  function F.size_of_batch(flow)
    local policy = policy_of(type_of_flow(flow))
    return policy.n and not (policy.m or policy.mk or policy.o) and policy.n or 1
  end

  -- What goes along with the one before it, in the batch of this lane: as `first_open`. nil: nothing more.
  function F.next_of_batch(level, flow, place)
    for _ = 1, PER_LOOK do
      local entry, second = unpack(call('LRANGE', lane_list(level, flow, place.key), 0, 1))
      local message = entry and call('HGET', TASKS, entry)
      place.has_more = second
      if not entry then
        return nil
      elseif message then
        local h = read_head(message)
        h.key = place.key
        if has_flag(h, SUSPECT) then return nil end
        if not is_expired(h) and closed(type_of_flow(flow), level, flow, h, entry, true) then return nil end
        return place, entry, message, h
      end
      pop(level, flow, place, 0)
      count_waiting(level, flow, -1)
      call('SREM', GHOSTS .. level, entry)
    end
  end

  -- What a batch has left behind waits since it came.
  function F.end_batch(level, flow, place)
    local at = lane_at(level, flow, place.key)
    local since, entry = call('HGET', FILLING, at), call('LINDEX', lane_list(level, flow, place.key), 0)
    local message = since and entry and call('HGET', TASKS, entry)
    if message then call('HSET', FILLING, at, string.format('%.0f', math.max(since, read_head(message).created))) end
  end

  -- Hands it over: out of its lane, with all that it takes.
  function F.grant(level, flow, place, entry, h)
    local type = type_of_flow(flow)
    local policy = policy_of(type)
    granted[entry] = true
    pop(level, flow, place, 1 / h.weight)
    local limit = limit_of(type)
    if limit then take_tokens(type, limit, 1) end
    if policy.r or policy.b or h.budgets then pour_all(buckets_of(policy, type, h)) end
    if (policy.m or policy.c or policy.mk or policy.o) and call('HEXISTS', HELD, entry) == 0 then
      local gates = {}
      if policy.m then gates[1] = type end
      if policy.c then gates[#gates + 1] = '=' .. h.type end -- for parts/bounds.lua: nothing waits for it
      if policy.mk or policy.o then gates[#gates + 1] = type .. ' ' .. h.own end
      for _, gate in ipairs(gates) do call('HINCRBY', RUNNING, gate, 1) end
      call('HSET', HELD, entry, cmsgpack.pack(gates))
    end
  end

  -- Out of its lane without being handed over.
  function F.drop(level, flow, place) pop(level, flow, place, 0) end

  -- So many have come out of its lanes.
  function F.count_taken(level, flow, number)
    if number > 0 then count_waiting(level, flow, -number) end
  end

  -- A lane that holds entries, and its key: that whose turn it is, or one that is blocked.
  function F.any_lane(level, flow)
    local key = call('ZRANGE', TURNS .. level .. ':' .. flow, 0, 0)[1]
    for _, field in ipairs(key and {} or call('HRANDFIELD', BLOCKED .. level .. ':' .. flow, 2)) do
      key = field ~= 'g' and string.sub(field, 2) or key
    end
    return key and lane_list(level, flow, key), key
  end

  -- Up to so many entries from the front of a lane, as nobody will have them any more.
  function F.take_first(level, flow, key, most)
    local entries = call('LPOP', lane_list(level, flow, key), most or 1)
    if not entries then return end
    count_waiting(level, flow, -#entries)
    if call('EXISTS', lane_list(level, flow, key)) == 0 then
      leave(level, flow, key)
      call('HDEL', FILLING, lane_at(level, flow, key))
      unblock(level, flow, ':' .. key)
    elseif fills then
      F.end_batch(level, flow, {key = key})
    end
    return entries
  end

  -- It waits no more: if it is the first of its lane it leaves that, and nothing waits any longer for what it waited for.
  function F.leave_first(entry, h)
    local level, flow = h.level, (lane_of_type(h))
    local list, ghost = lane_list(level, flow, h.key), nil
    if call('LINDEX', list, 0) ~= entry then return false end
    for _ = 1, PER_LOOK do
      F.take_first(level, flow, h.key)
      if ghost then call('SREM', GHOSTS .. level, ghost) end
      ghost = call('LINDEX', list, 0)
      if not ghost or call('HEXISTS', TASKS, ghost) == 1 then break end
    end
    unblock(level, flow, ':' .. h.key)
    if call('HGET', BLOCKED .. level .. ':' .. flow, 'g') == '' then unblock(level, flow, 'g') end
    return true
  end

  -- The same for a priority, from any lane.
  function F.take_any(level, most)
    local counts = call('HGETALL', FLOWING)
    for i = 1, #counts, 2 do
      local at, flow = string.match(counts[i], '^(%S+) (%S+)$')
      local list, key
      if at == level then list, key = F.any_lane(level, flow) end
      local entries = list and F.take_first(level, flow, key, most)
      if entries then return entries end
    end
  end

  function F.let_go(entry, held)
    call('HDEL', HELD, entry)
    for _, gate in ipairs(cmsgpack.unpack(held)) do
      if call('HINCRBY', RUNNING, gate, -1) <= 0 then call('HDEL', RUNNING, gate) end
      F.open(gate)
    end
  end

  function F.is_ordered(h) return policy_of(type_of_flow(h.flow)).o and true or false end

  local function declare_budgets(budgets)
    for name, declared in pairs(type(budgets) == 'table' and budgets or {}) do
      local text = cmsgpack.pack(declared)
      if call('HGET', BUDGETS, name) ~= text then call('HSET', BUDGETS, name, text) end
    end
  end

  -- The policy of a type, and that it is a flow.
  function F.declare(flow, packed)
    local type = type_of_flow(flow)
    declare_budgets(cmsgpack.unpack(packed).b)
    if packed ~= call('HGET', FLOWS, type) then
      call('HSET', FLOWS, type, packed)
      policies[type], changed[type] = nil, true
    end
    if changed[type] then F.reconsider(flow) end -- of all its versions
    F.begin(flow)
  end

  local function begin_at(level, flow)
    take_in(level, flow)
    local at = level .. ':' .. flow
    if call('EXISTS', TURNS .. at) == 1 and call('HEXISTS', BLOCKED .. at, 'g') == 0 then call('SADD', LANES_AT .. level, flow) end
  end

  -- The lane of a type becomes a flow, with what waits in it.
  function F.begin(flow)
    if call('HGET', LANES, flow) == 'flow' then return end
    call('HSET', LANES, flow, 'flow')
    for _, level in ipairs(LEVELS) do begin_at(level, flow) end
  end

  -- Where the lane without a key is the only one, what other releases have put there or taken is counted again.
  local function recount(level, flow, counted)
    local at = level .. ':' .. flow
    local turns = call('ZRANGE', TURNS .. at, 0, 1)
    if (turns[1] or '') ~= '' or turns[2] or call('HLEN', BLOCKED .. at) > 2 then return end
    for _, field in ipairs(call('HKEYS', BLOCKED .. at)) do
      if field ~= 'g' and field ~= ':' then return end
    end
    local number = call('LLEN', lane_list(level, flow, ''))
    if number ~= counted then count_waiting(level, flow, number - counted) end
  end

  -- Releases that know no flows forget a lane that seems empty, and count nothing: all are looked at again.
  function F.mend()
    for _, field in ipairs(call('HKEYS', FLOWING)) do
      local level, flow = string.match(field, '^(%S+) (%S+)$')
      call('HSET', LANES, flow, 'flow')
      begin_at(level, flow)
      recount(level, flow, tonumber(call('HGET', FLOWING, field) or 0))
    end
  end

  local function free_suspects(level, flow)
    unblock(level, flow, ':' .. HELD_BACK)
    for _ = 1, PER_LOOK do
      local entry = call('LINDEX', lane_list(level, flow, HELD_BACK), 0)
      if not entry then
        call('HDEL', FILLING, lane_at(level, flow, HELD_BACK))
        return leave(level, flow, HELD_BACK)
      end
      local message = call('HGET', TASKS, entry)
      call('LPOP', lane_list(level, flow, HELD_BACK))
      count_waiting(level, flow, -1)
      if message then be_suspect_again(level, entry, read_head(message)) else call('SREM', GHOSTS .. level, entry) end
    end
  end

  -- A pause is over: suspects that it held back keep their places, so they must not wait behind those that wait for one.
  function F.free(flow)
    for _, level in ipairs(LEVELS) do free_suspects(level, flow) end
  end

  -- It becomes a plain lane again. false: it cannot yet, for some wait in lanes of keys.
  function F.cease(flow)
    for _, level in ipairs(LEVELS) do
      free_suspects(level, flow)
      local at = level .. ':' .. flow
      local keys = call('ZRANGE', TURNS .. at, 0, 1)
      if (keys[1] or '') ~= '' or keys[2] or call('HLEN', BLOCKED .. at) > 2 then return false end
      for _, field in ipairs(call('HKEYS', BLOCKED .. at)) do
        if field ~= 'g' and field ~= ':' then return false end
      end
    end
    for _, level in ipairs(LEVELS) do
      unblock(level, flow, 'g')
      unblock(level, flow, ':')
      call('DEL', TURNS .. level .. ':' .. flow)
      call('HDEL', FLOWING, level .. ' ' .. flow)
    end
    return true
  end

  -- What is paused waits in the lane of its type.
  function F.hold(entry, h)
    h.flow = lane_of_type(h)
    if has_flag(h, SUSPECT) then h.key = HELD_BACK end
    F.begin(h.flow)
    F.enter(entry, h, 'RPUSH')
  end

  -- Some of the lanes of a flow look again, whatever they wait for; where to go on, "0": that were all.
  function F.look_again(level, flow, cursor, most)
    local page = call('HSCAN', BLOCKED .. level .. ':' .. flow, cursor, 'COUNT', most)
    for i = 1, #page[2], 2 do unblock(level, flow, page[2][i]) end
    return page[1]
  end

  return F
end

-- A release that knows no flows forgets one whose lane without a key is empty, or parks what it does not know there.
local function is_flow_again(h)
  if h.flow == h.type or redis.call('HEXISTS', FLOWS, limited_type(h.type)) == 0 then return false end
  flows().begin(h.flow)
  return true
end

local made
flows = function()
  made = made or make_flows()
  return made
end

-- An entry gives back its place among those that may run at once.
local function let_go(entry)
  local held = redis.call('HGET', HELD, entry)
  if held then flows().let_go(entry, held) end
end

-- It waits again. What is in order keeps its place until it ends, so that nothing overtakes it; a suspect does, since it
-- runs before all others.
local function let_go_for_now(entry, h)
  local held = redis.call('HGET', HELD, entry)
  if held and not has_flag(h, SUSPECT) and not flows().is_ordered(h) then flows().let_go(entry, held) end
end

-- What waited has ended: it leaves its lane, or stays in its list as a ghost.
local function leave_list(entry, h)
  if redis.call('HGET', LANES, h.flow) ~= 'flow' or not flows().leave_first(entry, h) then
    redis.call('SADD', GHOSTS .. h.level, entry)
  end
end

-- What a call says of its type, if nobody has said it before.
local function declare_limits(task, options)
  local limited = limited_type(task)
  if (options.limit or options.flow) and redis.call('HEXISTS', OVERRIDES, limited) == 1 then return end -- others hold
  if options.limit and (redis.call('HSETNX', LIMITS, limited, options.limit .. ' 0') == 1 or limited ~= task) then
    if not options.flow then redis.call('HSET', LANES, task, 'limited') end
  end
  if options.flow and redis.call('HGET', LANES, 'v2/' .. task) ~= 'flow' then
    flows().declare(task, options.flow)
    flows().declare('v2/' .. task, options.flow)
  end
end
