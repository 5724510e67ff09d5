# Task: await, yield and shutdown against every way a task can end, and streams.
defmodule Oracle.ScTask do
  use Oracle.Story

  def scenarios do
    for(op <- [:await, :yield], {name, work} <- works(), do: {key([op, name]), fn -> one(op, work, false) end}) ++
      for(op <- [:shutdown, :brutal_shutdown], do: {key([op, :while_it_runs]), fn -> running(op) end}) ++
      for(op <- [:yield, :shutdown, :brutal_shutdown], {name, work} <- works(),
        do: {key([op, :when_it_is_over, name]), fn -> one(op, work, true) end}) ++
      for(op <- [:await_many, :yield_many], {name, work} <- works(), position <- [1, 3],
        do: {key([op, name, position]), fn -> many(op, work, position) end}) ++
      for(order <- [:ordered, :unordered], caller <- [:plain, :trapping], {name, work} <- works(),
        do: {key([:stream, order, caller, name]), fn -> stream_with(order, caller, work) end}) ++
      for(max <- [1, 2, 5], do: {key([:stream_never_runs_more_than, max]), fn -> stream_max(max) end}) ++
      for(n <- [0, 1, 2, 5], do: {key([:stream_of, n]), fn -> stream_of(n) end}) ++
      singles()
  end

  # What a task does: gives a value or ends for a reason.
  defp works do
    [value: fn -> :done end] ++
      for {name, reason} <- reasons([:normal, :shutdown, :shutdown_with, :kill, :custom, :error]) do
        {name, fn -> exit(reason) end}
      end ++ [crash: fn -> raise "oops" end, throw: fn -> throw(:oops) end]
  end

  # The driver traps exits, so that the end of a linked task is a message; it is not told here.
  defp forget(%Task{pid: pid}), do: receive(do: ({:EXIT, ^pid, _} -> :ok))

  # shutdown and ignore unlink the task; an EXIT from before that may be there.
  defp unlinked(%Task{pid: pid}) do
    receive do
      {:EXIT, ^pid, _} -> :ok
    after
      0 -> :ok
    end
  end

  defp over(pid), do: until(fn -> not Process.alive?(pid) end)

  defp ask(:await, task), do: attempt(fn -> ["ok ", to_string(Task.await(task))] end)
  defp ask(:yield, task), do: result(Task.yield(task))
  defp ask(:shutdown, task), do: result(Task.shutdown(task))
  defp ask(:brutal_shutdown, task), do: result(Task.shutdown(task, :brutal_kill))

  defp result(nil), do: "none"
  defp result({:ok, value}), do: ["ok ", to_string(value)]
  defp result({:exit, why}), do: ["exit ", :oracle.reason(why)]

  defp running(op) do
    task = blocked()
    line([op, ask(op, task)])
    line([:alive, Process.alive?(task.pid)])
    nothing()
  end

  defp one(op, work, over) do
    task = Task.async(work)
    if over, do: over(task.pid)
    line([op, ask(op, task)])
    over(task.pid)
    if op in [:await, :yield], do: forget(task), else: unlinked(task)
    nothing()
  end

  # Three tasks, one of which does the work; the others give values.
  defp many(op, work, position) do

    tasks =
      for n <- 1..3 do
        Task.async(fn -> if n == position, do: work.(), else: "value#{n}" end)
      end

    for task <- tasks, do: over(task.pid)

    case op do
      :await_many -> line([:await_many, attempt(fn -> ["ok ", Enum.join(Task.await_many(tasks), " ")] end)])
      :yield_many -> for {_, result} <- Task.yield_many(tasks), do: line([:yield_many, result(result)])
    end

    for task <- tasks, do: forget(task)
    receive do {ref, _} when is_reference(ref) -> drain() after 0 -> drain() end
    nothing()
  end

  # What await_many leaves of the tasks behind the failed one is not fixed.
  defp drain do
    receive do
      {ref, _} when is_reference(ref) -> drain()
      {:DOWN, _, _, _, _} -> drain()
    after
      0 -> :ok
    end
  end

  # The second of three elements does the work. A linked failure exits a caller that does not trap.
  defp stream_with(order, caller, work) do
    me = self()

    {_, ref} =
      spawn_monitor(fn ->
        Process.flag(:trap_exit, caller == :trapping)
        # One at a time, so that the order of results is the same either way.
        stream =
          Task.async_stream(1..3, fn n -> if n == 2, do: work.(), else: n end,
            max_concurrency: 1, ordered: order == :ordered)

        for result <- stream, do: line([:result, result(result)])
        send(me, :over)
      end)

    receive do
      :over -> line([:over])
      {:DOWN, ^ref, _, _, why} -> line([:caller, :ended, {:reason, why}])
    end
  end

  defp stream_max(max) do
    counter = :counters.new(2, [])

    work = fn n ->
      :counters.add(counter, 1, 1)
      if :counters.get(counter, 1) > max, do: :counters.add(counter, 2, 1)
      :erlang.yield()
      :counters.sub(counter, 1, 1)
      n
    end

    results = Enum.map(Task.async_stream(1..8, work, max_concurrency: max), &result/1)
    for result <- results, do: line([:result, result])
    line([:more_than_allowed, :counters.get(counter, 2)])
    drain_exits()
    nothing()
  end

  defp stream_of(n) do
    for result <- Task.async_stream(Enum.take(1..9, n), &(&1 * 2)), do: line([:result, result(result)])
    drain_exits()
    nothing()
  end

  defp drain_exits do
    receive do
      {:EXIT, _, _} -> drain_exits()
    after
      0 -> :ok
    end
  end

  defp blocked, do: Task.async(fn -> receive do: ({:go, value} -> value) end)

  defp singles do
    [
      {"await_takes_too_long", fn ->
        task = blocked()
        line([:await, attempt(fn -> Task.await(task, 1) end)])
        line([:alive, Process.alive?(task.pid)])
        send(task.pid, {:go, :late})
        over(task.pid)
        forget(task)
        nothing()
      end},
      {"await_of_zero_takes_what_is_there", fn ->
        task = Task.async(fn -> :done end)
        over(task.pid)
        line([:await, ask(:await, task)])
        forget(task)
        nothing()
      end},
      {"yield_takes_too_long_and_again", fn ->
        task = blocked()
        line([:yield, result(Task.yield(task, 1))])
        line([:alive, Process.alive?(task.pid)])
        send(task.pid, {:go, :later})
        line([:yield, ask(:yield, task)])
        forget(task)
        nothing()
      end},
      {"yield_then_shutdown", fn ->
        task = blocked()
        line([:yield, result(Task.yield(task, 1) || Task.shutdown(task))])
        line([:alive, Process.alive?(task.pid)])
        unlinked(task)
        nothing()
      end},
      {"shutdown_of_a_task_that_traps_and_answers", fn ->
        me = self()
        task = Task.async(fn ->
          Process.flag(:trap_exit, true)
          send(me, :ready)
          receive do: ({:EXIT, _, _} -> :last_word)
        end)
        receive do: (:ready -> :ok)
        line([:shutdown, ask(:shutdown, task)])
        unlinked(task)
        nothing()
      end},
      {"shutdown_of_a_task_that_traps_and_never_ends", fn ->
        me = self()
        task = Task.async(fn ->
          Process.flag(:trap_exit, true)
          send(me, :ready)
          receive do: (:never -> :ok)
        end)
        receive do: (:ready -> :ok)
        line([:shutdown, result(Task.shutdown(task, 1))])
        line([:alive, Process.alive?(task.pid)])
        unlinked(task)
        nothing()
      end},
      {"brutal_shutdown_of_a_task_that_traps", fn ->
        me = self()
        task = Task.async(fn ->
          Process.flag(:trap_exit, true)
          send(me, :ready)
          receive do: (:never -> :ok)
        end)
        receive do: (:ready -> :ok)
        line([:shutdown, ask(:brutal_shutdown, task)])
        unlinked(task)
        nothing()
      end},
      {"killed_from_outside_while_awaited", fn ->
        task = blocked()
        Process.exit(task.pid, :kill)
        line([:await, ask(:await, task)])
        forget(task)
        nothing()
      end},
      {"owner_ends_the_linked_task_too", fn -> owner_ends(:boom, true) end},
      {"owner_is_killed_the_linked_task_too", fn -> owner_ends({:signal, :kill}, true) end},
      {"owner_ends_normally_the_linked_task_stays", fn -> owner_ends(:normal, false) end},
      {"linked_failure_ends_an_owner_that_does_not_trap", fn ->
        owner = worker(:owner)
        ref = :oracle.watch(owner)
        :oracle_worker.cast(owner, fn state ->
          Task.async(fn -> exit(:boom) end)
          {:noreply, state}
        end)
        down(ref)
        nothing()
      end},
      {"start_is_not_linked", fn ->
        {:ok, pid} = Task.start(fn -> receive do: (:go -> exit(:boom)) end)
        ref = :oracle.watch(pid)
        send(pid, :go)
        down(ref)
        nothing()
      end},
      {"start_link_is_linked", fn ->
        {:ok, pid} = Task.start_link(fn -> receive do: (:go -> exit(:boom)) end)
        send(pid, :go)
        exit_of(pid)
        nothing()
      end},
      {"completed_needs_no_process", fn ->
        line([:await, ask(:await, Task.completed(:done))])
        line([:yield, ask(:yield, Task.completed(:done))])
        nothing()
      end},
      {"ignore_drops_the_answer", fn ->
        task = blocked()
        Task.ignore(task)
        send(task.pid, {:go, :unwanted})
        over(task.pid)
        unlinked(task)
        nothing()
      end},
      {"ignore_of_one_that_is_over", fn ->
        task = Task.async(fn -> :done end)
        over(task.pid)
        line([:ignore, result(Task.ignore(task))])
        unlinked(task)
        nothing()
      end},
      {"await_many_keeps_the_order", fn ->
        tasks = for _ <- 1..3, do: blocked()
        for {task, n} <- Enum.reverse(Enum.zip(tasks, [:one, :two, :three])) do
          send(task.pid, {:go, n})
          over(task.pid)
        end
        line([:await_many, Enum.join(Task.await_many(tasks), " ")])
        for task <- tasks, do: forget(task)
        nothing()
      end},
      {"await_many_of_none", fn ->
        line([:await_many, length(Task.await_many([]))])
        nothing()
      end},
      {"await_many_takes_too_long", fn ->
        tasks = [Task.async(fn -> :done end), blocked()]
        line([:await_many, attempt(fn -> Task.await_many(tasks, 5) end)])
      end},
      {"yield_many_some_are_late", fn ->
        tasks = [done, late] = [Task.async(fn -> :done end), blocked()]
        over(done.pid)
        for {_, result} <- Task.yield_many(tasks, 1), do: line([:yield_many, result(result)])
        line([:alive, Process.alive?(late.pid)])
        send(late.pid, {:go, :later})
        line([:yield, ask(:yield, late)])
      end},
      {"supervised_it_is_temporary", fn ->
        {:ok, sup} = Supervisor.start_link([{Task, fn -> receive do: (:go -> exit(:boom)) end}], strategy: :one_for_one)
        [{_, pid, _, _}] = Supervisor.which_children(sup)
        send(pid, :go)
        until(fn -> Supervisor.which_children(sup) == [] end)
        count(Map.new(Supervisor.count_children(sup)))
        nothing()
      end},
      {"stream_slowest_first_is_ordered", fn -> stream_slowest(true) end},
      {"stream_slowest_first_unordered", fn -> stream_slowest(false) end},
      {"stream_timeout_kills_and_goes_on", fn -> stream_timeout([]) end},
      {"stream_timeout_with_the_input", fn -> stream_timeout(zip_input_on_exit: true) end},
      {"stream_timeout_exits_the_caller", fn ->
        line([:stream, attempt(fn -> Stream.run(Task.async_stream([:a], fn _ -> receive do: (:never -> :ok) end, timeout: 1)) end)])
      end},
      {"stream_stopped_early_ends_the_tasks", fn ->
        me = self()

        work = fn
          1 ->
            await([:second, :runs], 1)
            1

          2 ->
            send(me, {:second, self()})
            line([:second, :runs])
            receive do: (:never -> :ok)
        end

        results = Enum.take(Task.async_stream(1..2, work, max_concurrency: 2), 1)
        for result <- results, do: line([:result, result(result)])
        receive do: ({:second, pid} -> line([:alive, Process.alive?(pid)]))
      end},
      {"stream_is_lazy", fn ->
        me = self()
        _ = Task.async_stream(1..3, fn n -> send(me, n) end)
        nothing()
      end}
    ]
  end

  defp owner_ends(how, ends) do
    owner = worker(:owner)
    %Task{pid: pid} = :oracle_worker.within(owner, fn -> blocked() end)
    ref = :oracle.watch(pid)
    :oracle_worker.finish(owner, how)

    if ends do
      down(ref)
    else
      until(fn -> not Process.alive?(owner) end)
      line([:alive, Process.alive?(pid)])
    end

    nothing()
  end

  # The first element waits until the second is through.
  defp stream_slowest(ordered) do
    me = self()

    work = fn
      1 ->
        send(me, {:first, self()})
        receive do: (:go -> 1)

      2 ->
        2
    end

    spawn_link(fn ->
      for result <- Task.async_stream(1..2, work, max_concurrency: 2, ordered: ordered), do: line([:result, result(result)])
      send(me, :over)
    end)

    first = receive do: ({:first, pid} -> pid)
    unless ordered, do: await([:result], 1)
    send(first, :go)
    receive do: (:over -> line([:over]))
  end

  defp stream_timeout(options) do
    work = fn n -> if n == 2, do: (receive do: (:never -> :ok)), else: n end
    options = [timeout: 20, on_timeout: :kill_task, max_concurrency: 1] ++ options

    for result <- Task.async_stream(1..3, work, options) do
      case result do
        {:exit, {input, why}} -> line([:result, :exit, {:reason, why}, :input, input])
        other -> line([:result, result(other)])
      end
    end
  end
end
