import Checkpointing
import Foundation
import Glibc
import Host
import Kernels
import Model
import Training

/// Saving and loading the checkpoint of a configuration, on the file system of its --out-dir: what stops
/// training (copy), what goes on beside it (publish), and what a resumed run waits for (load).
struct CheckpointBenchmark {
    let configuration: Configuration

    func run(_ plan: RepetitionPlan) throws(Failure) -> ResultTable {
        let layout = ParameterLayout(configuration.model)
        let arenas = (0..<3).map { _ in Arena(count: layout.arenaCount) }
        layout.initialize(arenas[0].floats, seed: configuration.seed)
        let checkpoint = Checkpoint(
            created: "", producer: Version.producer, step: 1, tokensSeen: 0,
            configuration: configuration.json, tokenizer: "{}",
            dataSHA256: String(repeating: "0", count: 64), trainingTokens: 0, validationTokens: 0,
            seed: configuration.seed, history: [])
        let directory = "\(configuration.outputDirectory)/bench-\(hostName())-\(getpid())"
        let path = "\(directory)/step-00000001.h5"
        try PublishedFile.makeDirectory(directory)
        defer { try? FileManager.default.removeItem(atPath: directory) }

        var seconds: [(name: String, values: [Double])] = [
            ("copy", []), ("publish", []), ("load", []),
        ]
        for repetition in 0..<plan.warmUp + plan.repetitions {
            let start = monotonicSeconds()
            let image = try checkpoint.image(
                layout, weights: arenas[0].floats, firstMoments: arenas[1].floats,
                secondMoments: arenas[2].floats)
            let copied = monotonicSeconds()
            try image.publish(at: path)
            let published = monotonicSeconds()
            let reader = try CheckpointReader(path)
            try reader.readWeights(layout, into: arenas[0].floats)
            try reader.readMoments(layout, first: arenas[1].floats, second: arenas[2].floats)
            let loaded = monotonicSeconds()
            guard repetition >= plan.warmUp else { continue }
            seconds[0].values.append(copied - start)
            seconds[1].values.append(published - copied)
            seconds[2].values.append(loaded - published)
        }
        let megabytes = Double(checkpoint.expectedBytes(layout)) / 1e6
        return ResultTable(
            name: "checkpoint",
            rows: seconds.map { name, values in
                let sorted = values.sorted()
                let median = sorted[sorted.count / 2]
                return [
                    ("checkpoint", .text(name)), ("MB", .number(megabytes, 1)),
                    ("min ms", .number(sorted[0] * 1e3, 2)),
                    ("median ms", .number(median * 1e3, 2)),
                    ("max ms", .number(sorted[sorted.count - 1] * 1e3, 2)),
                    ("MB/s", .number(megabytes / median, 0)),
                ]
            })
    }
}
