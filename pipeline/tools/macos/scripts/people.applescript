-- Lists the cards, a line a fact of eight fields: "person", id, full name, first name, last name, nickname, company, job title;
-- "phone", "email", "group" or "relation", id, label or group, value; "me", id. Each property comes in one event for all cards.
on run argv
	set theRows to {"done"}
	tell application "Contacts"
		set theIds to id of people
		set theNames to name of people
		set theFirstNames to first name of people
		set theLastNames to last name of people
		set theNicknames to nickname of people
		set theCompanies to organization of people
		set theJobs to job title of people
		set thePhoneLabels to label of phones of people
		set thePhones to value of phones of people
		set theMails to value of emails of people
		set theCount to (count of theIds)
		if (count of theNames) is not theCount or (count of thePhones) is not theCount or (count of theMails) is not theCount then return "changed"
		repeat with i from 1 to theCount
			set theId to item i of theIds
			set end of theRows to my rowOf({"person", theId, item i of theNames, item i of theFirstNames, item i of theLastNames, item i of theNicknames, item i of theCompanies, item i of theJobs})
			set theLabels to item i of thePhoneLabels
			set theValues to item i of thePhones
			repeat with j from 1 to (count of theValues)
				set end of theRows to my rowOf({"phone", theId, item j of theLabels, item j of theValues, "", "", "", ""})
			end repeat
			repeat with theMail in item i of theMails
				set end of theRows to my rowOf({"email", theId, "", contents of theMail, "", "", "", ""})
			end repeat
		end repeat
		repeat with i from 1 to (count of groups)
			set theGroup to name of group i
			repeat with theMember in (get id of people of group i)
				set end of theRows to my rowOf({"group", contents of theMember, theGroup, "", "", "", "", ""})
			end repeat
		end repeat
		try
			-- There may be no card of the user's own.
			set theId to id of my card
			set end of theRows to my rowOf({"me", theId, "", "", "", "", "", ""})
			set theLabels to label of related names of my card
			set theValues to value of related names of my card
			repeat with j from 1 to (count of theValues)
				set end of theRows to my rowOf({"relation", theId, item j of theLabels, item j of theValues, "", "", "", ""})
			end repeat
		end try
	end tell
	return joinedText(theRows, linefeed)
end run

-- A line of fields, with tabs between.
on rowOf(theFields)
	set theTexts to {}
	repeat with theField in theFields
		set end of theTexts to escapedText(contents of theField)
	end repeat
	return joinedText(theTexts, tab)
end rowOf

on escapedText(theValue)
	if theValue is missing value then return ""
	set theText to theValue as text
	set theText to replacedText(theText, "\\", "\\\\")
	set theText to replacedText(theText, tab, "\\t")
	set theText to replacedText(theText, linefeed, "\\n")
	set theText to replacedText(theText, return, "\\r")
	return theText
end escapedText

on replacedText(theText, theOld, theNew)
	set AppleScript's text item delimiters to theOld
	set theItems to text items of theText
	set AppleScript's text item delimiters to theNew
	set theText to theItems as text
	set AppleScript's text item delimiters to ""
	return theText
end replacedText

on joinedText(theTexts, theSeparator)
	set AppleScript's text item delimiters to theSeparator
	set theText to theTexts as text
	set AppleScript's text item delimiters to ""
	return theText
end joinedText
