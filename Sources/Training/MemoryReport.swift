import Collectives
import Host

/// The memory of the ranks by parts: what was planned before anything was allocated, and what is there.
struct MemoryReport {
    private let plan: MemoryPlan
    private let trainer: Trainer
    private let communicator: any Communicator

    init(_ configuration: Configuration, _ trainer: Trainer, _ communicator: any Communicator) {
        plan = MemoryPlan(
            configuration, division: trainer.division, rank: communicator.rank,
            threads: trainer.workers.all.count)
        self.trainer = trainer
        self.communicator = communicator
    }

    /// Gathers what all ranks have, which all call it, and shows it on rank 0.
    ///
    /// - Throws: exit code 71 where a rank is lost.
    func show(after step: Int, _ console: Console) throws(Failure) {
        let parts = plan.items.map { (name: $0.name, bytes: residentBytes(of: $0.name)) }
        let own = [
            ProcessMemory.residentBytes, Processor.peakMemoryBytes, ProcessMemory.hugePageBytes,
        ]
        let all = try communicator.allgather(
            own + parts.map(\.bytes) + plan.items.map(\.bytes))
        guard communicator.rank == 0 else { return }
        func column(_ index: Int) -> [Int] { all.map { $0[index] } }
        var lines = [
            "memory after step \(step)",
            Self.line("part", "planned", "rank 0 has", "most, of rank", "least, of rank"),
        ]
        for (index, part) in parts.enumerated() {
            let planned = all[0][own.count + parts.count + index]
            lines.append(Self.line(part.name, planned, column(own.count + index)))
        }
        let sums = all.map { $0[own.count..<own.count + parts.count].reduce(0, +) }
        lines.append(Self.line("all parts", plan.bytes, sums))
        lines.append(
            Self.line("program, libraries", nil, all.indices.map { all[$0][0] - sums[$0] }))
        lines.append(Self.line("resident", nil, column(0)))
        lines.append(Self.line("peak", nil, column(1)))
        lines.append(Self.line("in huge pages", nil, column(2)))
        let isShared = Set(communicator.processes).count < communicator.size
        lines.append(
            "beside that, rank 0 has \(Format.mebibytes(plan.checkpointBytes)) while it writes a "
                + "checkpoint"
                + (isShared
                    ? "; from 'program' to 'in huge pages' are of the process that all ranks share"
                    : ""))
        let limits = ProcessMemory.limits
        let limit = { (bytes: Int?) in bytes.map(Format.mebibytes) ?? "none" }
        lines.append(
            "limits: address space \(limit(limits.addressSpace)), data \(limit(limits.data)), machine or "
                + "container \(limit(Processor.memoryBytes)); huge pages: \(ProcessMemory.hugePagePolicy)"
        )
        for line in lines { console.say(line) }
    }

    private static func line(_ name: String, _ planned: Int?, _ bytes: [Int]) -> String {
        let most = bytes.indices.max { bytes[$0] < bytes[$1] }!
        let least = bytes.indices.min { bytes[$0] < bytes[$1] }!
        return line(
            name, planned.map(Format.mebibytes) ?? "", Format.mebibytes(bytes[0]),
            "\(Format.mebibytes(bytes[most])), \(most)",
            "\(Format.mebibytes(bytes[least])), \(least)"
        )
    }

    private static func line(_ name: String, _ columns: String...) -> String {
        columns.reduce(name.padded(18)) { $0 + "  " + $1.paddedLeft(16) }
    }

    // MARK: What is there

    /// The bytes of a part of the plan that are in memory here.
    private func residentBytes(of part: String) -> Int {
        regions(of: part).reduce(0) { $0 + ProcessMemory.residentBytes(of: $1) }
    }

    private func regions(of part: String) -> [UnsafeRawBufferPointer] {
        let workers = trainer.workers.all
        return switch part {
        case "weights": [trainer.weights.arena.memory]
        case "moments": [trainer.firstMoments, trainer.secondMoments].map(\.arena.memory)
        case "packed weights": [UnsafeRawBufferPointer(trainer.weights.panels.floats)]
        case "gradients": workers.flatMap { $0.fold?.arenas.map(\.memory) ?? [] }
        case "activations": workers.map(\.activations.arena.memory)
        case "exchange": [trainer.exchange.memory] + [trainer.received].compactMap(\.?.memory)
        case "check": [trainer.check.arena].compactMap(\.?.memory)
        default: preconditionFailure("the plan of the memory has no part '\(part)'")
        }
    }
}
