# Task.Supervisor: linked and unlinked tasks, started children, limits, streams.
defmodule Oracle.ScTsup do
  use Oracle.Story

  def scenarios do
    for(kind <- [:async, :async_nolink], {name, work} <- works(), do: {key([kind, :await, name]), fn -> await_one(kind, work) end}) ++
      for({name, work} <- works(), do: {key([:async_nolink, :yield, name]), fn -> yield_one(work) end}) ++
      for(type <- [:permanent, :transient, :temporary], {name, reason} <- reasons([:normal, :shutdown, :shutdown_with, :custom]),
        do: {key([:start_child, type, name]), fn -> start_child(type, reason) end}) ++
      for({name, work} <- works(), do: {key([:stream_nolink, name]), fn -> stream_nolink(work) end}) ++
      for({name, work} <- works(), do: {key([:stream, name]), fn -> stream(work) end}) ++
      for(max <- [0, 1, 2], kind <- [:async, :async_nolink, :start_child], do: {key([:max_children, max, kind]), fn -> max_children(max, kind) end}) ++
      singles()
  end

  defp works do
    [value: fn -> :done end] ++
      for {name, reason} <- reasons([:normal, :shutdown, :shutdown_with, :kill, :custom]) do
        {name, fn -> exit(reason) end}
      end ++ [crash: fn -> raise "oops" end]
  end

  defp start(options \\ []) do
    {:ok, sup} = Task.Supervisor.start_link(options)
    sup
  end

  defp result(nil), do: "none"
  defp result({:ok, value}), do: ["ok ", to_string(value)]
  defp result({:exit, why}), do: ["exit ", :oracle.reason(why)]

  defp over(pid), do: until(fn -> not Process.alive?(pid) end)

  defp await_one(kind, work) do
    sup = start()
    task = apply(Task.Supervisor, kind, [sup, work])
    line([:await, attempt(fn -> ["ok ", to_string(Task.await(task))] end)])
    if kind == :async, do: receive(do: ({:EXIT, pid, _} when pid == task.pid -> :ok))
    over(task.pid)
    until(fn -> Task.Supervisor.children(sup) == [] end)
    nothing()
  end

  defp yield_one(work) do
    sup = start()
    task = Task.Supervisor.async_nolink(sup, work)
    line([:yield, result(Task.yield(task))])
    over(task.pid)
    nothing()
  end

  defp start_child(type, reason) do
    sup = start(max_restarts: 100)
    me = self()

    work = fn ->
      send(me, {:started, self()})
      receive do: (:go -> exit(reason))
    end

    {:ok, pid} = Task.Supervisor.start_child(sup, work, restart: type)
    receive do: ({:started, ^pid} -> line([:started, pid]))
    send(pid, :go)

    until(fn -> pid not in Task.Supervisor.children(sup) end)

    receive do
      {:started, again} -> line([:started, again])
    after
      # By now a restart would be among the children; its message may be under way.
      0 ->
        case Task.Supervisor.children(sup) do
          [again] -> receive do: ({:started, ^again} -> line([:started, again]))
          [] -> line([:gone])
        end
    end

    nothing()
  end

  defp stream_nolink(work) do
    sup = start()
    inputs = Task.Supervisor.async_stream_nolink(sup, 1..3, &if(&1 == 2, do: work.(), else: &1), max_concurrency: 1)
    for result <- inputs, do: line([:result, result(result)])
    nothing()
  end

  defp stream(work) do
    sup = start()
    me = self()

    {_, ref} =
      spawn_monitor(fn ->
        inputs = Task.Supervisor.async_stream(sup, 1..3, &if(&1 == 2, do: work.(), else: &1), max_concurrency: 1)
        for result <- inputs, do: line([:result, result(result)])
        send(me, :over)
      end)

    receive do
      :over -> line([:over])
      {:DOWN, ^ref, _, _, why} -> line([:caller, :ended, {:reason, why}])
    end
  end

  defp max_children(max, kind) do
    sup = start(max_children: max)
    blocked = fn -> receive do: (:never -> :ok) end

    for _ <- 0..max do
      answer =
        try do
          apply(Task.Supervisor, kind, [sup, blocked])
        rescue
          RuntimeError -> {:error, :max_children}
        end

      line([kind, if(match?({:error, :max_children}, answer), do: :refused, else: :ok)])
    end
  end

  defp singles do
    [
      {"children_are_counted", fn ->
        sup = start()
        pids = for _ <- 1..3, do: elem(Task.Supervisor.start_child(sup, fn -> receive do: (:go -> :ok) end), 1)
        line([:children, length(Task.Supervisor.children(sup))])
        send(hd(pids), :go)
        until(fn -> length(Task.Supervisor.children(sup)) == 2 end)
        line([:children, length(Task.Supervisor.children(sup))])
        nothing()
      end},
      {"terminate_child", fn ->
        sup = start()
        {:ok, pid} = Task.Supervisor.start_child(sup, fn -> receive do: (:never -> :ok) end)
        ref = :oracle.watch(pid)
        answer(:terminate_child, Task.Supervisor.terminate_child(sup, pid))
        down(ref)
        line([:children, length(Task.Supervisor.children(sup))])
        nothing()
      end},
      {"terminate_child_unknown", fn ->
        answer(:terminate_child, Task.Supervisor.terminate_child(start(), self()))
        nothing()
      end},
      {"terminate_child_that_is_awaited_nolink", fn ->
        sup = start()
        task = Task.Supervisor.async_nolink(sup, fn -> receive do: (:never -> :ok) end)
        answer(:terminate_child, Task.Supervisor.terminate_child(sup, task.pid))
        line([:yield, result(Task.yield(task))])
        nothing()
      end},
      {"stop_ends_the_tasks", fn ->
        sup = start()
        {:ok, pid} = Task.Supervisor.start_child(sup, fn -> receive do: (:never -> :ok) end)
        ref = :oracle.watch(pid)
        sup_ref = :oracle.watch(sup)
        Process.unlink(sup)
        Process.exit(sup, :shutdown)
        down(ref)
        down(sup_ref)
        nothing()
      end},
      {"stop_with_a_task_that_does_not_end", fn ->
        sup = start()
        me = self()
        {:ok, pid} = Task.Supervisor.start_child(sup, fn ->
          Process.flag(:trap_exit, true)
          send(me, :ready)
          receive do: (:never -> :ok)
        end, shutdown: 1)
        receive do: (:ready -> :ok)
        ref = :oracle.watch(pid)
        sup_ref = :oracle.watch(sup)
        Process.unlink(sup)
        Process.exit(sup, :shutdown)
        down(ref)
        down(sup_ref)
        nothing()
      end},
      {"nolink_a_crash_spares_the_owner", fn ->
        sup = start()
        owner = worker(:owner)
        ref = :oracle.watch(owner)
        task = :oracle_worker.within(owner, fn -> Task.Supervisor.async_nolink(sup, fn -> receive do: (:go -> exit(:boom)) end) end)
        send(task.pid, :go)
        await([:info, :owner, :down], 1)
        :oracle.alive_or_down(owner, ref)
      end},
      {"linked_a_crash_ends_the_owner", fn ->
        sup = start()
        owner = worker(:owner)
        ref = :oracle.watch(owner)
        task = :oracle_worker.within(owner, fn -> Task.Supervisor.async(sup, fn -> receive do: (:go -> exit(:boom)) end) end)
        send(task.pid, :go)
        down(ref)
        nothing()
      end},
      {"linked_the_owner_ends_the_task_too", fn -> owner_ends(:async) end},
      {"nolink_the_owner_ends_the_task_stays", fn -> owner_ends(:async_nolink) end},
      {"await_takes_too_long", fn ->
        sup = start()
        task = Task.Supervisor.async_nolink(sup, fn -> receive do: (:go -> :late) end)
        line([:await, attempt(fn -> Task.await(task, 1) end)])
        send(task.pid, :go)
        over(task.pid)
        nothing()
      end},
      {"stream_nolink_timeout_kills_and_goes_on", fn ->
        sup = start()
        work = fn n -> if n == 2, do: (receive do: (:never -> :ok)), else: n end
        options = [timeout: 20, on_timeout: :kill_task, max_concurrency: 1]
        for result <- Task.Supervisor.async_stream_nolink(sup, 1..3, work, options), do: line([:result, result(result)])
        nothing()
      end},
      {"stream_nolink_at_max_children", fn ->
        sup = start(max_children: 1)
        Task.Supervisor.start_child(sup, fn -> receive do: (:never -> :ok) end)
        answer =
          try do
            Enum.to_list(Task.Supervisor.async_stream_nolink(sup, 1..2, & &1))
            :ok
          rescue
            _ -> :refused
          catch
            :exit, _ -> :refused
          end
        line([:stream, answer])
      end},
      {"requests_to_a_dead_supervisor", fn ->
        sup = start()
        ref = :oracle.watch(sup)
        Process.unlink(sup)
        Process.exit(sup, :kill)
        down(ref)
        line([:start_child, attempt(fn -> Task.Supervisor.start_child(sup, fn -> :ok end) end)])
        line([:async_nolink, attempt(fn -> Task.Supervisor.async_nolink(sup, fn -> :ok end) end)])
        line([:children, attempt(fn -> Task.Supervisor.children(sup) end)])
        nothing()
      end}
    ]
  end

  defp owner_ends(kind) do
    sup = start()
    owner = worker(:owner)
    task = :oracle_worker.within(owner, fn -> apply(Task.Supervisor, kind, [sup, fn -> receive do: (:go -> :ok) end]) end)
    ref = :oracle.watch(task.pid)
    owner_ref = :oracle.watch(owner)
    :oracle_worker.stop(owner, :boom)
    down(owner_ref)

    if kind == :async do
      down(ref)
    else
      line([:alive, Process.alive?(task.pid)])
    end

    nothing()
  end
end
