# PartitionSupervisor: routing by key, counts, restarts, ends.
defmodule Oracle.ScPsup do
  use Oracle.Story

  def scenarios do
    for(n <- [1, 2, 3, 4], do: {key([:partitions, n]), fn -> partitions(n) end}) ++
      for(n <- [1, 2, 4], do: {key([:integer_keys_go_round, n]), fn -> keys(n) end}) ++
      for(strategy <- [:one_for_one, :one_for_all, :rest_for_one], {name, how} <- ends(),
        do: {key([:partition_ends, strategy, name]), fn -> ends_one(strategy, how) end}) ++
      for(position <- 0..2, do: {key([:partition_fails_to_start, position]), fn -> fails(position) end}) ++
      singles()
  end

  defp start(n, options \\ []) do
    # Each partition takes its label from its number.
    defaults = [
      name: :named,
      partitions: n,
      max_restarts: 100,
      child_spec: %{id: :any, start: {__MODULE__, :start_partition, [%{}]}},
      with_arguments: fn [plan], partition -> [Map.put(plan, :label, "p#{partition}")] end
    ]

    PartitionSupervisor.start_link(Keyword.merge(defaults, options))
  end

  def start_partition(plan) do
    label = String.to_atom("partition" <> String.trim_leading(plan.label, "p"))
    :oracle_worker.start_link(Map.merge(%{trap: true}, %{plan | label: label}))
  end

  defp which do
    children = Enum.sort(PartitionSupervisor.which_children(:named))
    line([:which | Enum.concat(for {id, pid, _, _} <- children, do: [id, pid])])
  end

  defp at(key), do: GenServer.whereis({:via, PartitionSupervisor, {:named, key}})

  defp counts do
    counts = PartitionSupervisor.count_children(:named)
    count(Map.new(counts))
  end

  defp partitions(n) do
    {:ok, _} = start(n)
    line([:partitions, PartitionSupervisor.partitions(:named)])
    which()
    counts()
    nothing()
  end

  defp keys(n) do
    {:ok, _} = start(n)
    for key <- 0..7, do: line([:key, key, at(key)])
    nothing()
  end

  defp ends_one(strategy, how) do
    {:ok, _} = start(3, strategy: strategy)
    pid = at(1)
    line([:end, pid])
    :oracle_worker.finish(pid, how)
    until(fn -> at(1) != pid end)
    which()
    nothing()
  end

  defp fails(position) do
    init = fn n -> if n == position + 1, do: {:stop, :boom}, else: :ok end
    {:error, _} = start(3, child_spec: %{id: :any, start: {__MODULE__, :start_partition, [%{init: script(init)}]}})
    receive do {:EXIT, _, _} -> :ok after 0 -> :ok end
    line([:start, :failed])
    whereis(:named)
    nothing()
  end

  defp singles do
    [
      {"a_key_always_goes_to_the_same_partition", fn ->
        {:ok, _} = start(4)
        for key <- [:some, "text", {1, 2}], do: line([:same, at(key) == at(key)])
        nothing()
      end},
      {"call_by_key", fn ->
        {:ok, _} = start(2)
        line([:answer, GenServer.call({:via, PartitionSupervisor, {:named, 1}}, :get)])
        nothing()
      end},
      {"stop_ends_all_partitions", fn ->
        {:ok, sup} = start(3)
        Process.unlink(sup)
        ref = :oracle.watch(sup)
        line([:stop, PartitionSupervisor.stop(:named)])
        down(ref)
        whereis(:named)
        nothing()
      end},
      {"start_under_a_taken_name", fn ->
        {:ok, first} = start(1)
        answer(:start, start(1))
        line([:same, Process.whereis(:named) == first])
        nothing()
      end},
      {"unknown_supervisor", fn ->
        line([:partitions, attempt(fn -> PartitionSupervisor.partitions(:nobody) end)])
        line([:count_children, attempt(fn -> PartitionSupervisor.count_children(:nobody) end)])
        nothing()
      end},
      {"too_many_restarts_end_it", fn ->
        {:ok, sup} = start(1, max_restarts: 0)
        ref = :oracle.watch(sup)
        pid = at(0)
        line([:end, pid])
        :oracle_worker.stop(pid, :boom)
        exit_of(sup)
        down(ref)
        nothing()
      end},
      {"without_children_hook_all_partitions_are_alike", fn ->
        {:ok, _} =
          PartitionSupervisor.start_link(name: :named, partitions: 2, child_spec: child(:same))

        which()
        counts()
        nothing()
      end}
    ]
  end
end
