import CHost
import Glibc

/// The processor cores and instruction sets of this process.
package enum Processor {
    /// The cores that this thread may run on (its affinity mask, not the machine's).
    package static var allowedCores: [Int32] {
        let capacity = Int(causalgen_most_cores)
        let cores = [Int32](unsafeUninitializedCapacity: capacity) { buffer, count in
            count = Int(max(0, causalgen_allowed_cores(buffer.baseAddress, Int32(capacity))))
        }
        return cores.isEmpty ? (0..<Int32(onlineCores)).map { $0 } : cores
    }

    /// The number of cores that this thread may run on.
    package static var availableCores: Int { allowedCores.count }

    /// The number of cores of the machine.
    package static var onlineCores: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// The most memory that this process has had so far, in bytes; 0 where the kernel does not say.
    ///
    /// getrusage is no help: it counts what the process was before it became this program.
    package static var peakMemoryBytes: Int {
        KernelTable.bytes("VmHWM", in: "/proc/self/status") ?? 0
    }

    /// The memory that processes of this machine, or of this container or job where that has a limit, may
    /// have in all, in bytes; nil where the kernel does not say.
    package static var memoryBytes: Int? {
        let machine = KernelTable.bytes("MemTotal", in: "/proc/meminfo")
        return [machine, ControlGroup.own.memoryBytes].compactMap { $0 }.min()
    }

    /// Keeps the calling thread on one core; where the kernel refuses, it stays where it may.
    package static func pinThread(to core: Int32) { _ = causalgen_pin_thread(core) }

    /// To be called in a loop that waits.
    @inline(__always)
    package static func spinHint() { causalgen_spin_hint() }

    /// What the program was compiled for, beyond what every processor of the architecture has.
    private static let neededInstructions: [String] = {
        #if NEEDS_AVX2
            ["avx2", "bmi2", "fma"]
        #else
            []
        #endif
    }()

    /// What of that this processor lacks; nothing where the kernel does not say.
    private static let missingInstructions: [String] = {
        guard !neededInstructions.isEmpty,
            let value = KernelTable.value("flags", in: "/proc/cpuinfo")
        else { return [] }
        let flags = Set(value.split(separator: " ").map(String.init))
        return neededInstructions.filter { !flags.contains($0) }
    }()

    /// The instructions that the program can count on here: `x86-64 with avx2, bmi2, fma`. What else a
    /// processor has changes no number, so it may differ between ranks.
    package static let instructionSet: String = {
        #if arch(x86_64)
            let architecture = "x86-64"
        #else
            let architecture = "arm64"
        #endif
        let present = neededInstructions.filter { !missingInstructions.contains($0) }
        return present.isEmpty
            ? architecture : "\(architecture) with \(present.joined(separator: ", "))"
    }()

    /// Says so where this processor lacks what the program was compiled for; otherwise the first
    /// kernel would end it with an illegal instruction.
    ///
    /// - Throws: exit code 69.
    package static func check() throws(Failure) {
        guard missingInstructions.isEmpty else {
            throw Failure(
                .unavailable,
                "the processor of \(hostName()) lacks \(missingInstructions.joined(separator: ", ")), "
                    + "which this program was built for; build it with CAUSALGEN_MARCH=x86-64, which "
                    + "is slow and gives the same bits")
        }
    }
}
