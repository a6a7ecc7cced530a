import Glibc

/// The processor cores and instruction sets of this process.
package enum Processor {
    /// The number of cores that this process may run on (its affinity mask, not the machine's count).
    package static var availableCores: Int {
        guard let status = try? MappedFile.text("/proc/self/status"),
            let line = status.split(separator: "\n").first(where: {
                $0.hasPrefix("Cpus_allowed:")
            })
        else { return onlineCores }
        let mask = line.dropFirst("Cpus_allowed:".count)
        return max(1, mask.reduce(0) { $0 + ($1.hexDigitValue?.nonzeroBitCount ?? 0) })
    }

    /// The number of cores of the machine.
    package static var onlineCores: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// Says so where this processor lacks what the program was compiled for; otherwise the first
    /// kernel would end it with an illegal instruction.
    ///
    /// - Throws: exit code 69.
    package static func check() throws(Failure) {
        #if NEEDS_AVX2
            let information = try MappedFile.text("/proc/cpuinfo")
            guard
                let line = information.split(separator: "\n").first(where: {
                    $0.hasPrefix("flags")
                })
            else { return }
            let flags = Set(line.split(separator: " ").map(String.init))
            let missing = ["avx2", "fma", "bmi2"].filter { !flags.contains($0) }
            guard missing.isEmpty else {
                throw Failure(
                    .unavailable,
                    "the processor of \(hostName()) lacks \(missing.joined(separator: ", ")), which "
                        + "this program was built for; build it with CAUSALGEN_MARCH=x86-64, which is "
                        + "slow and gives the same bits")
            }
        #endif
    }
}
