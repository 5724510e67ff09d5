# What the Elixir scenarios share.
defmodule Oracle.Story do
  @moduledoc false

  defmacro __using__(_) do
    quote do
      import Oracle.Story
      import :oracle, only: [line: 1, down: 1, exit_of: 1, nothing: 0, until: 1, await: 2]
    end
  end

  def key(parts), do: Enum.map_join(parts, "_", &to_string/1)

  def reasons(names), do: :oracle.reasons(names)

  def ends do
    reasons([:normal, :shutdown, :shutdown_with, :custom]) ++ [killed: {:signal, :kill}, crash: :crash]
  end

  @doc "A child specification of an `oracle_worker`, which traps exits."
  def child(label, spec \\ %{}, plan \\ %{}) do
    plan = Map.merge(%{label: label, trap: true}, plan)
    Map.merge(%{id: label, start: {:oracle_worker, :start_link, [plan]}}, spec)
  end

  def worker(label), do: :oracle_worker.start(%{label: label, quiet: true})

  @doc "A script: what `init` does at the first, the second, ... start."
  def script(fun), do: {:script, :counters.new(1, []), fun}

  @doc "Runs something that may exit, and tells how."
  def attempt(fun) do
    fun.()
  catch
    :exit, why -> ["exit ", :oracle.call_error(why)]
  end

  def answer(op, {:ok, pid}) when is_pid(pid), do: :oracle.line([op, :ok, pid])
  def answer(op, {:ok, pid, extra}) when is_pid(pid), do: :oracle.line([op, :ok, pid, extra])
  def answer(op, :ok), do: :oracle.line([op, :ok])
  def answer(op, :ignore), do: :oracle.line([op, :ignored])

  def answer(op, {:error, {:already_started, pid}}),
    do: :oracle.line([op, :error, :already_started, pid])

  def answer(op, {:error, known}) when known in [:not_found, :max_children],
    do: :oracle.line([op, :error, known])

  def answer(op, {:error, why}), do: :oracle.line([op, :failed, {:reason, why}])

  def count(counts) do
    words = for key <- [:specs, :active, :supervisors, :workers], do: [key, counts[key]]
    :oracle.line([:count | Enum.concat(words)])
  end

  def whereis(name), do: :oracle.line([:whereis, Process.whereis(name) || :none])
end
