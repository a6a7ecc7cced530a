import Foundation
import Testing

/// A disk that is full or broken while a run saves: what the run does is its policy, and what was saved
/// before is safe.
@Suite struct SaveErrorTests {
    private func words(_ place: Workplace, _ more: String...) -> [String] {
        place.train("--save-interval", "1", "--keep-last", "9", "--eval-interval", "0") + more
    }

    private func checkpoints(_ place: Workplace) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: place.file("runs/tiny"))
            .filter { $0.hasPrefix("step-") }.sorted()
    }

    private let fault = ["CAUSALGEN_TEST_DISK": "enospc@write:step-00000002"]

    @Test(arguments: [0, 2]) func trainingGoesOnWithAWarning(_ ranks: Int) throws {
        let place = try Workplace()
        let whole = try Program.run(words(place, "--run-name", "whole"))
        let result = try Program.run(words(place), ranks: ranks, fault)
        #expect(result.exitCode == 0)
        #expect(digest(result) == digest(whole))
        let warnings = result.errors.split(separator: "\n").filter {
            $0.contains("the checkpoint of step 2 was not saved")
        }
        #expect(warnings.count == 1, "\(result.errors)")
        #expect(warnings.first?.contains("No space left on device") == true)
        #expect(warnings.first?.contains("bytes") == true)
        #expect(
            try checkpoints(place)
                == ["step-00000001.h5", "step-00000003.h5", "step-00000004.h5"])
    }

    @Test(arguments: [0, 2]) func trainingStopsWhereItIsToldTo(_ ranks: Int) throws {
        let place = try Workplace()
        let result = try Program.run(words(place, "--on-save-error", "stop"), ranks: ranks, fault)
        #expect(result.exitCode == 74, "\(result.errors)")
        #expect(result.errors.contains("No space left on device"))
        #expect(try checkpoints(place).prefix(1) == ["step-00000001.h5"])
        let again = try Program.run(words(place, "--on-save-error", "stop"))
        #expect(again.exitCode == 0)
        #expect(again.output.contains("resumed from"))
    }

    @Test(arguments: [0, 2]) func theLastSaveMustWork(_ ranks: Int) throws {
        let place = try Workplace()
        let result = try Program.run(
            words(place), ranks: ranks, ["CAUSALGEN_TEST_DISK": "eio@flush:step-00000004"])
        #expect(result.exitCode == 74, "\(result.errors)")
        #expect(result.errors.contains("Input/output error"))
        #expect(try checkpoints(place).last == "step-00000003.h5")
    }

    /// A checkpoint that is on the disk is saved, whatever becomes of its hints.
    @Test func aHintThatFailsIsAWarning() throws {
        let place = try Workplace()
        let result = try Program.run(
            words(place, "--on-save-error", "stop"), ["CAUSALGEN_TEST_DISK": "eio@rename:/last"])
        #expect(result.exitCode == 0, "\(result.errors)")
        #expect(result.errors.contains("the checkpoint is saved, but: cannot publish"))
        #expect(try checkpoints(place).count == 4)
    }

    private static let cannotMount: Comment = "this user may not mount file systems"

    /// A real file system that is too small: an error before anything is trained.
    @Test(.enabled(if: Program.canMount, cannotMount))
    func aDiskWithoutRoomForACheckpointIsRefused() throws {
        let place = try Workplace()
        let result = try Program.onSmallDisk(kilobytes: 24, at: place.file("runs"), words(place))
        #expect(result.exitCode == 74, "\(result.errors)")
        #expect(result.errors.contains("are free there"))
        #expect(!result.output.contains("step 1/"))
    }

    /// A real file system that fills up after so many checkpoints.
    @Test(.enabled(if: Program.canMount, cannotMount), arguments: [160, 220, 300])
    func aDiskThatFillsUpLosesNothing(_ kilobytes: Int) throws {
        let place = try Workplace()
        let result = try Program.onSmallDisk(
            kilobytes: kilobytes, at: place.file("runs"), words(place, "--max-steps", "12"))
        #expect(result.exitCode == 74, "\(result.output)\(result.errors)")
        #expect(result.errors.contains("No space left on device"))
        let listing = result.output.components(separatedBy: "LISTING\n").last ?? ""
        #expect(listing.contains("step-0000000"))
        #expect(!listing.contains(".tmp-"), "\(listing)")
    }
}
