import Checkpointing
import Foundation
import Host
import Model
import Training

/// Whether a checkpoint of a small model can be written in the output directory, and read back.
enum CheckpointCheck {
    static func run(_ surroundings: Surroundings) -> [Finding] {
        let (headers, library) = (HDF5Version.headers, HDF5Version.library)
        let version: Finding =
            headers == library
            ? .ok("HDF5", library)
            : .warning(
                "HDF5", "library \(library), headers \(headers)",
                cure: "build the program with the headers of the library that it runs with")
        return [version, roundTrip(surroundings.outputDirectory)]
    }

    private static func roundTrip(_ wanted: String) -> Finding {
        let what = "checkpoint"
        guard (try? Processor.check()) != nil else {
            return .failed(
                what, "not tried: this processor lacks instructions that it takes", cure: nil)
        }
        guard let parent = OutputCheck.existing(wanted) else {
            return .failed(what, "'\(wanted)' is no directory", cure: "choose another --out-dir")
        }
        let folder = "\(parent)/doctor-\(hostName())-\(getpid())"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        do throws(Failure) {
            try PublishedFile.makeDirectory(folder)
            let lock = try RunLock(folder) { _ in }
            defer { lock.release() }
            let bytes = try writeAndRead(in: folder)
            return .ok(
                what,
                "\(bytes) bytes written in '\(parent)', flushed, read back, every byte right; its lock held"
            )
        } catch {
            return .failed(what, error.message, cure: nil)
        }
    }

    /// - Returns: the bytes of the file.
    private static func writeAndRead(in folder: String) throws(Failure) -> Int {
        var configuration = Configuration()
        (configuration.model.layers, configuration.model.width) = (1, 16)
        (configuration.model.heads, configuration.model.blockSize) = (1, 8)
        let layout = ParameterLayout(configuration.model)
        let arenas = (0..<2).map { _ in Arena(count: layout.arenaCount) }
        layout.initialize(arenas[0].floats, seed: 1)
        let checkpoint = Checkpoint(
            created: "", producer: Version.producer, step: 1, tokensSeen: 0,
            configuration: configuration.json, tokenizer: "{}",
            dataSHA256: String(repeating: "0", count: 64), trainingTokens: 0, validationTokens: 0,
            seed: 1, history: [])
        let image = try checkpoint.image(
            layout, weights: arenas[0].floats, firstMoments: arenas[0].floats,
            secondMoments: arenas[0].floats)
        let directory = CheckpointDirectory(folder)
        let leftover = try directory.save(
            image, best: nil, retention: .init(keepLast: 2, keepEvery: 0))
        if let leftover { throw leftover }
        let reader = try directory.reader(ofStep: 1)
        try reader.readWeights(layout, into: arenas[1].floats)
        let digests = arenas.map { WeightsDigest.hexadecimal(layout, $0.floats) }
        guard digests[0] == digests[1] else {
            throw Failure(.damaged, "'\(reader.path)' gave back other weights than were written")
        }
        return try MappedFile(reader.path).bytes.count
    }
}
