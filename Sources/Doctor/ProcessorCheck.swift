import Foundation
import Host
import Training

/// What the processor can, and how much of it this process may use.
enum ProcessorCheck {
    static func run(_ surroundings: Surroundings) -> [Finding] {
        [instructionSet, cores, binding(surroundings.environment)]
    }

    private static var instructionSet: Finding {
        let model = KernelTable.value("model name", in: "/proc/cpuinfo") ?? "unknown model"
        let what = "instruction set"
        do throws(Failure) {
            try Processor.check()
        } catch {
            return .failed(what, "\(model): \(error.message)", cure: nil)
        }
        let found = "\(model), \(Processor.instructionSet); built for \(Build.target)"
        let flags = KernelTable.value("flags", in: "/proc/cpuinfo")?.split(separator: " ") ?? []
        guard Build.target == "x86-64" || Build.target == "x86-64-v2", flags.contains("avx2") else {
            return .ok(what, found)
        }
        return .warning(
            what, "\(found), and the processor has AVX2",
            cure: "a build without CAUSALGEN_MARCH is several times faster")
    }

    private static var cores: Finding {
        let threads = Processor.onlineCores
        let allowed = Processor.allowedCores
        let siblings = Set(
            (0..<threads).map { number in
                Surroundings.line(
                    "/sys/devices/system/cpu/cpu\(number)/topology/thread_siblings_list")
                    ?? "\(number)"
            })
        let found =
            "\(siblings.count) cores, \(threads) hardware threads; this process may use "
            + "\(WorkerPlan.text(of: allowed))"
        if let granted = ControlGroup.own.cores, granted < Double(allowed.count) {
            return .warning(
                "cores",
                "\(found), and its control group grants it the time of \(Format.fixed(granted, 1))",
                cure:
                    "no more threads than that are started unless --threads asks for them; ask for more "
                    + "processor time")
        }
        guard allowed.count < threads else { return .ok("cores", found) }
        return .warning(
            "cores", found,
            cure: "the rest is out of its affinity: start mpirun with --bind-to none, or look at "
                + "taskset, cpusets and the batch system's options")
    }

    private static func binding(_ environment: [String: String]) -> Finding {
        let names = [
            "OMP_NUM_THREADS", "OMP_PROC_BIND", "OMPI_MCA_hwloc_base_binding_policy",
            "OMPI_MCA_rmaps_base_mapping_policy", "PRTE_MCA_rmaps_default_mapping_policy",
            "SLURM_CPU_BIND", "GOMP_CPU_AFFINITY",
        ]
        let set = names.compactMap { name in environment[name].map { "\(name)=\($0)" } }
        guard !set.isEmpty else {
            return .ok("binding", "no variable binds threads or ranks to cores")
        }
        let isOpenMP = set.contains { $0.hasPrefix("OMP_") }
        return .ok(
            "binding", set.joined(separator: ", "),
            cure: isOpenMP ? "OMP_* has no effect: threads are chosen by --threads" : nil)
    }
}
