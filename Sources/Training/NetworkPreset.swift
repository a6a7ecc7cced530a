/// Kinds of links as they are usually found, for predictions without a measurement: assumptions, and shown
/// as such.
package struct NetworkPreset: Equatable, Sendable {
    /// As `--network` has it.
    package let name: String
    package let description: String
    package let latencyMicroseconds: Double
    /// What each further one of several messages at once takes.
    package let gapMicroseconds: Double
    /// What a message gets of the link's rate, in 10^9 bits a second, each way.
    package let gigabits: Double

    package static let all = [
        NetworkPreset(
            name: "10gbit", description: "10 Gbit/s Ethernet, TCP", latencyMicroseconds: 25,
            gapMicroseconds: 5, gigabits: 9.4),
        NetworkPreset(
            name: "25gbit", description: "25 Gbit/s Ethernet, TCP", latencyMicroseconds: 15,
            gapMicroseconds: 3, gigabits: 23.5),
        NetworkPreset(
            name: "100gbit", description: "100 Gbit/s RoCE or InfiniBand", latencyMicroseconds: 3,
            gapMicroseconds: 0.6, gigabits: 96),
    ]

    /// Ranks of one node, through memory, where it was not measured; for each rank.
    package static let sharedMemory = NetworkPreset(
        name: "shared memory", description: "ranks of one node", latencyMicroseconds: 1,
        gapMicroseconds: 0.2, gigabits: 40)

    package static func named(_ name: String) -> NetworkPreset? { all.first { $0.name == name } }

    package var link: LinkModel {
        LinkModel(
            latencyMicroseconds: latencyMicroseconds, gapMicroseconds: gapMicroseconds,
            gigabits: gigabits)
    }
}

extension LinkModel {
    /// - Parameter gigabits: 10^9 bits a second, each way.
    package init(latencyMicroseconds: Double, gapMicroseconds: Double, gigabits: Double) {
        self.init(
            latencySeconds: latencyMicroseconds * 1e-6, secondsPerByte: 8e-9 / gigabits,
            gapSeconds: gapMicroseconds * 1e-6)
    }
}

extension LinkModel.Line {
    package var latencyMicroseconds: Double { latencySeconds * 1e6 }
    /// 10^9 bits a second; infinite where bytes cost nothing.
    package var gigabits: Double { 8e-9 / secondsPerByte }
}
