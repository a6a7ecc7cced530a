import Foundation
import Testing

/// `inspect` and `compare`, against what Python finds in the same files.
@Suite struct InspectTests {
    static let checkpoint = "runs/tiny/step-00000004.h5"

    static func json(_ result: Program.Result) throws -> [String: Any] {
        let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8))
        return try #require(object as? [String: Any])
    }

    @Test func inspectFindsWhatPythonFinds() throws {
        let place = try Workplace()
        let run = try Program.run(place.train("--bias", "--seed", "18446744073709551615"))
        let result = try Program.run(["inspect", place.file("runs/tiny"), "--json"])
        #expect(result.exitCode == 0, "\(result.errors)")
        let found = try Self.json(result)
        #expect("weights sha256 \(found["weights_sha256"] ?? "")" == digest(run).map(String.init))
        #expect(found["step"] as? Int == 4)
        #expect(found["tokens_seen"] as? Int == 4 * 4 * 8)
        #expect(found["seed"] as? UInt64 == .max)
        let configuration = try #require(found["configuration"] as? [String: Any])
        #expect(configuration["n_embd"] as? Int == 16)
        #expect(configuration["bias"] as? Bool == true)
        #expect(configuration["min_lr"] as? Double == 1e-4)
        #expect((found["history"] as? [[String: Any]])?.compactMap { $0["step"] as? Int } == [4])

        let tensors = try #require(found["tensors"] as? [[String: Any]])
        let expected = try Python.run(
            """
            import h5py, json, sys
            import numpy as np
            norm = lambda a: float(np.sqrt(np.sum(a[...].astype("f8") ** 2)))
            with h5py.File(sys.argv[1], "r") as f:
                print(json.dumps([[
                    name.decode(), list(f["weights"][name].shape), norm(f["weights"][name]),
                    float(np.min(f["weights"][name])), float(np.max(f["weights"][name])),
                    norm(f["adamw/m"][name]), norm(f["adamw/v"][name])]
                    for name in f["weights"].attrs["weight_names"]]))
            """, place.file(Self.checkpoint))
        let rows = try #require(
            try JSONSerialization.jsonObject(with: Data(expected.output.utf8)) as? [[Any]])
        #expect(rows.count == 14 && tensors.count == rows.count)
        for (tensor, row) in zip(tensors, rows) {
            #expect(tensor["name"] as? String == row[0] as? String)
            #expect(tensor["shape"] as? [Int] == row[1] as? [Int])
            for (column, key) in [
                "norm", "min", "max", "first_moment_norm", "second_moment_norm",
            ].enumerated() {
                let value = try #require(tensor[key] as? Double)
                let other = try #require(row[column + 2] as? Double)
                #expect(abs(value - other) <= 1e-6 * abs(other), "\(tensor) \(key) \(other)")
            }
        }
        let text = try Program.run(["inspect", place.file("runs/tiny/last")])
        #expect(text.output.contains("verified        yes"))
        #expect(text.output.contains("transformer.h.0.attn.c_proj.weight  [16, 16]  256"))
    }

    @Test func inspectSaysWhatIsWrong() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train()).exitCode == 0)
        let path = place.file(Self.checkpoint)
        var content = try Data(contentsOf: URL(fileURLWithPath: path))
        content[content.count / 2] ^= 1
        try content.write(to: URL(fileURLWithPath: path))
        let text = try Program.run(["inspect", path])
        #expect(text.exitCode == 65)
        #expect(text.output.contains("\(content.count) bytes\nverified  no"))
        #expect(text.errors.contains("its SHA-256 does not match"))
        let report = try Program.run(["inspect", path, "--json"])
        let found = try Self.json(report)
        #expect(report.exitCode == 65)
        #expect(found["verified"] as? Bool == false)
        #expect((found["error"] as? String)?.contains("SHA-256") == true)
        #expect(try Program.run(["inspect", place.file("nothing")]).exitCode == 66)
    }

    /// Runs that differ in who computes and where it is put are one run.
    @Test func theSameRunElsewhereIsEqual() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train("--lr-decay-steps", "9")).exitCode == 0)
        let other = place.train(
            "--run-name", "other", "--threads", "2", "--lr-decay-steps", "9", "--log-interval",
            "1", "--max-steps", "5", "--save-interval", "4")
        #expect(try Program.run(other).exitCode == 0)
        let words = [
            "compare", place.file(Self.checkpoint), place.file("runs/other/step-00000004.h5"),
            "--assert-equal",
        ]
        // The evaluation at the end of the first run is no row of the second's history.
        let unequal = try Program.run(words)
        #expect(unequal.exitCode == 1, "\(unequal.errors)")
        #expect(unequal.output.contains("history, from row 0"))
        #expect(!unequal.output.contains("elements differ"))

        let third = place.train(
            "--run-name", "third", "--threads", "2", "--lr-decay-steps", "9", "--log-interval", "1")
        #expect(try Program.run(third, ranks: 2).exitCode == 0)
        let equal = try Program.run([words[0], words[1], place.file("runs/third"), words[3]])
        #expect(equal.exitCode == 0, "\(equal.output)\(equal.errors)")
        #expect(equal.output.contains("--threads  1 | 2  (decides no number)"))
        #expect(equal.output.contains("--run-name  tiny | third  (decides no number)"))
        #expect(equal.output.hasSuffix("\nequal\n"))
    }

    /// Without learning, the decay of weights decides no weight here, but those of the steps to come.
    @Test func aSettingThatDecidesNumbersIsADifference() throws {
        let place = try Workplace()
        let still = ["--learning-rate", "0", "--min-lr", "0"]
        #expect(try Program.run(place.train() + still).exitCode == 0)
        let other = place.train("--run-name", "other", "--weight-decay", "0.2") + still
        #expect(try Program.run(other).exitCode == 0)
        let words = ["compare", place.file("runs/tiny"), place.file("runs/other"), "--json"]
        let result = try Program.run(words)
        #expect(result.exitCode == 0)
        let found = try Self.json(result)
        #expect(found["equal"] as? Bool == false)
        #expect((found["tensors"] as? [Any])?.isEmpty == true)
        let settings = try #require(found["configuration"] as? [[String: Any]])
        let deciding = settings.filter { $0["decides_numbers"] as? Bool == true }
        #expect(deciding.compactMap { $0["name"] as? String } == ["weight_decay"])
        #expect(try Program.run(words + ["--assert-equal"]).exitCode == 1)
    }

    /// One step of float32 in one element of a moment, by Python, which renews the user block.
    @Test func oneUlpIsFound() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train()).exitCode == 0)
        let changed = place.file("changed.h5")
        let python = try Python.run(
            """
            import h5py, hashlib, shutil, struct, sys
            import numpy as np
            shutil.copy(sys.argv[1], sys.argv[2])
            with h5py.File(sys.argv[2], "r+") as f:
                moment = f["adamw/v/transformer.h.0.mlp.c_fc.weight"]
                moment[3, 5] = np.nextafter(moment[3, 5], np.float32(1))
                moment[60, 2] = np.nextafter(np.nextafter(moment[60, 2], np.float32(1)), np.float32(1))
            with open(sys.argv[2], "r+b") as f:
                content = f.read()
                image = content[512:]
                f.seek(24)
                f.write(struct.pack("<Q", len(image)) + hashlib.sha256(image).digest())
            """, place.file(Self.checkpoint), changed)
        #expect(python.exitCode == 0, "\(python.errors)")
        let result = try Program.run(["compare", place.file("runs/tiny"), changed, "--json"])
        let found = try Self.json(result)
        #expect(result.exitCode == 0 && found["equal"] as? Bool == false)
        let tensors = try #require(found["tensors"] as? [[String: Any]])
        #expect(tensors.count == 1)
        #expect(tensors[0]["name"] as? String == "/adamw/v/transformer.h.0.mlp.c_fc.weight")
        #expect(tensors[0]["differing"] as? Int == 2)
        #expect(tensors[0]["elements"] as? Int == 64 * 16)
        #expect(tensors[0]["max_ulps"] as? Int == 2)
        #expect(tensors[0]["first_index"] as? [Int] == [3, 5])
        let (a, b) = (try #require(tensors[0]["a"] as? Double), tensors[0]["b"] as? Double)
        #expect(Float(a).nextUp == b.map { Float($0) })
        #expect((found["facts"] as? [Any])?.isEmpty == true)
    }

    @Test func otherModelsAreTold() throws {
        let place = try Workplace()
        #expect(try Program.run(place.train()).exitCode == 0)
        let other = place.train("--run-name", "other", "--n-embd", "8", "--n-layer", "2")
        #expect(try Program.run(other).exitCode == 0)
        let result = try Program.run(["compare", place.file("runs/tiny"), place.file("runs/other")])
        #expect(result.exitCode == 0)
        #expect(result.output.contains("--n-embd  16 | 8\n"))
        #expect(result.output.contains("transformer.h.1.ln_1.weight  only in b"))
        #expect(
            result.output.contains("/weights/transformer.wpe.weight  shape [8, 16] | [8, 8]"))
        #expect(result.output.hasSuffix("\nnot equal\n"))
    }
}

/// The system's Python, which reads the files from outside.
enum Python {
    /// - Parameter directory: where it runs.
    static func run(_ script: String, _ arguments: String..., in directory: String? = nil) throws
        -> Program.Result
    {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/python3")
        process.arguments = ["-c", script] + arguments
        if let directory { process.currentDirectoryURL = URL(fileURLWithPath: directory) }
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let complaint = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Program.Result(
            exitCode: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
            errors: String(decoding: complaint, as: UTF8.self))
    }
}
