import Testing

@Suite struct VerifyResumeTests {
    private func words(_ place: Workplace, _ more: [String], steps: Int = 6) -> [String] {
        ["verify-resume", "--steps", "\(steps)"] + place.train("--dropout", "0.2").dropFirst()
            + more
    }

    @Test(arguments: [0, 2]) func aRunIsIdenticalToItself(_ ranks: Int) throws {
        let place = try Workplace()
        let result = try Program.run(words(place, []), ranks: ranks)
        #expect(result.exitCode == 0, "\(result.output)\(result.errors)")
        #expect(result.output.contains("identical"))
        #expect(result.output.contains("6 steps, 2 evaluations"))
    }

    @Test(arguments: [2, 3, 5, 10, 15]) func anyNumberOfStepsWillDo(_ steps: Int) throws {
        let place = try Workplace()
        let result = try Program.run(words(place, ["--simulate-ranks", "2"], steps: steps))
        #expect(result.exitCode == 0, "\(result.output)\(result.errors)")
    }

    /// Moments that come back other than they were saved, as a disk or a bug might have it.
    @Test func aDifferenceIsFoundAndSaid() throws {
        let place = try Workplace()
        let result = try Program.run(
            words(place, []), ["CAUSALGEN_TEST_MUTATION": "forget-moments"])
        #expect(result.exitCode == 1, "\(result.output)\(result.errors)")
        #expect(result.output.contains("first moments   DIFFERENT"))
        #expect(result.output.contains("NOT identical"))
    }
}
