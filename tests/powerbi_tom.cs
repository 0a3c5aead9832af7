// Loads a TMDL folder with Microsoft's Tabular Object Model, prints it as the JSON that Analysis Services takes, and writes it
// into a second folder. What does not load is on the standard error, and the exit code is 1.
using System;
using Microsoft.AnalysisServices.Tabular;

static class RoundTrip
{
    static int Main(string[] folders)
    {
        try
        {
            Database database = TmdlSerializer.DeserializeDatabaseFromFolder(folders[0]);
            ValidationResult validation = database.Model.Validate();
            foreach (ValidationError error in validation.Errors) Console.Error.WriteLine(error.Message);
            Console.WriteLine(JsonSerializer.SerializeDatabase(database));
            TmdlSerializer.SerializeDatabaseToFolder(database, folders[1]);
            return validation.ContainsErrors ? 1 : 0;
        }
        catch (Exception error)
        {
            Console.Error.WriteLine(error.Message);
            return 1;
        }
    }
}
