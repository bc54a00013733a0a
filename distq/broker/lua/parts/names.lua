-- part names: for enqueue, calls that have a name (parts/unique.lua). Which make a new task, and which mean one that is
-- there? All is looked at first (first_of), then written.
local function make_names(options, stamp)
  local N, call = {}, redis.call
  local taken, is_new, once = {}, {}, {} -- by this call: name -> {entry, head}, entry -> true, name -> id, for a time
  local changes, ends, ended_by = {}, {}, {}

  local function first_for_a_time(name, id)
    local first = once[name] or call('GET', ONCE .. name)
    if not first then once[name] = id end
    return first
  end

  -- The id of the task that stands for this call. nil: it makes one, under `entry`.
  function N.first_of(id, entry, message)
    local h = read_head(stamp .. message)
    local name = name_of(h)
    if not name then return nil end
    if h.unique_until == 'time' then return options['for'] and first_for_a_time(name, id) end
    local debounces = options.debounce and h.unique_until == 'start'
    local resent = debounces and call('GET', SENT .. id)
    if resent and string.sub(resent, 1, 6) == 'first ' then return string.sub(resent, 7) end -- what it changes is changed
    local first, replaces = taken[name] and taken[name][1] or holder_of(name), options.replace
    if first and debounces then
      if is_new[first] or read_head(call('HGET', TASKS, first)).type == h.type then
        changes[#changes + 1] = {first, message, id}
        return id_of(first)
      end
      replaces = true -- the arguments of another version
    end
    if first and not replaces then return id_of(first) end
    if first then ends[#ends + 1], ended_by[id] = {first, id}, first end
    taken[name], is_new[entry] = {entry, h}, true
  end

  -- The entry whose place a new one takes, since it ends for it. What runs does not, and has none.
  function N.place_of(id)
    local entry = ended_by[id]
    return entry and (is_new[entry] or not who_runs(entry)) and entry
  end

  -- For these (id -> true) there is no room, and they do nothing to others.
  function N.leave_out(refused)
    for name, new in pairs(taken) do
      if refused[id_of(new[1])] then taken[name] = nil end
    end
    for name, id in pairs(once) do
      if refused[id] then once[name] = nil end
    end
    for i = #ends, 1, -1 do
      if refused[ends[i][2]] then table.remove(ends, i) end
    end
    for i = #changes, 1, -1 do
      if is_new[changes[i][1]] and refused[id_of(changes[i][1])] then table.remove(changes, i) end
    end
  end

  -- Of the tasks that are written now.
  function N.take()
    for name, new in pairs(taken) do take_name(name, new[1], new[2]) end
    for name, id in pairs(once) do call('SET', ONCE .. name, id, 'PX', options['for']) end
  end

  local function body_of(h, message)
    local size = HEAD_SIZE + h.type_size
    return size + 3 + struct.unpack('>I2', message, size + 1)
  end

  -- The last arguments win. What is ready keeps its place: it takes them, and nothing else.
  local function change(entry, message)
    local old, new = call('HGET', TASKS, entry), stamp .. message
    local was, h = read_head(old), read_head(new)
    if not call('ZSCORE', DELAYED, entry) then
      call('HSET', TASKS, entry, string.sub(old, 1, body_of(was, old) - 1) .. string.sub(new, body_of(h, new)))
      return
    end
    h.created, h.attempt, h.deliveries, h.flags = was.created, was.attempt, was.deliveries, was.flags
    call('HSET', TASKS, entry, write_head(h, new))
    if h.expires == 0 then call('ZREM', DEADLINES, entry) end
    make_scheduled(entry, h, math.min(from_now + (options.delay or 0), was.created + (options.debounce_max or math.huge)))
  end

  -- What the calls do to tasks that were there before them.
  function N.meet()
    for _, item in ipairs(changes) do
      change(item[1], item[2])
      call('SET', SENT .. item[3], 'first ' .. id_of(item[1]), 'PX', RESEND_WINDOW)
    end
    for _, item in ipairs(ends) do
      cancel_task(item[1], call('HGET', TASKS, item[1]), 'replaced by ' .. item[2], '') -- not if it runs
    end
  end

  return N
end
